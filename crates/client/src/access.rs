//! The calls of `AccessService`.

use muster_proto::v1;
use muster_proto::v1::access_service_client::AccessServiceClient;
use tonic::transport::Channel;

use crate::{CallError, Client};

/// Elements per page, the most that a master answers with.
const PAGE: u32 = 1000;

fn access(channel: Channel) -> AccessServiceClient<Channel> {
    AccessServiceClient::new(channel)
}

impl Client {
    /// For whom the masters take this client.
    pub async fn get_caller(&self) -> Result<v1::GetCallerResponse, CallError> {
        let send = |channel, request| async move { access(channel).get_caller(request).await };
        self.call("GetCaller", v1::GetCallerRequest {}, send).await
    }

    /// The CAs of the cluster, as PEM.
    pub async fn trust_bundle(&self) -> Result<String, CallError> {
        let send = |channel, request| async move { access(channel).get_trust_bundle(request).await };
        Ok(self.call("GetTrustBundle", v1::GetTrustBundleRequest {}, send).await?.ca_certificates)
    }

    /// Makes a token. Its id makes it harmless to repeat.
    pub async fn create_token(&self, request: v1::CreateTokenRequest) -> Result<v1::Token, CallError> {
        let send = |channel, request| async move { access(channel).create_token(request).await };
        Ok(self.call("CreateToken", request, send).await?.token.unwrap_or_default())
    }

    /// Revokes a token.
    pub async fn revoke_token(&self, token_id: String) -> Result<v1::Token, CallError> {
        let send = |channel, request| async move { access(channel).revoke_token(request).await };
        let request = v1::RevokeTokenRequest { token_id };
        Ok(self.call("RevokeToken", request, send).await?.token.unwrap_or_default())
    }

    /// Binds a role to a user or a group.
    pub async fn bind_role(&self, binding: v1::RoleBinding) -> Result<(), CallError> {
        let send = |channel, request| async move { access(channel).bind_role(request).await };
        self.call("BindRole", v1::BindRoleRequest { binding: Some(binding) }, send).await.map(drop)
    }

    /// Takes its role from a user or a group.
    pub async fn unbind_role(&self, principal: v1::unbind_role_request::Principal) -> Result<(), CallError> {
        let send = |channel, request| async move { access(channel).unbind_role(request).await };
        let request = v1::UnbindRoleRequest { principal: Some(principal) };
        self.call("UnbindRole", request, send).await.map(drop)
    }

    /// The roles of users and groups in the store.
    pub async fn role_bindings(&self) -> Result<Vec<v1::RoleBinding>, CallError> {
        let send = |channel, request| async move { access(channel).list_role_bindings(request).await };
        Ok(self.call("ListRoleBindings", v1::ListRoleBindingsRequest {}, send).await?.bindings)
    }

    /// All tokens in the store, page by page.
    pub async fn tokens(&self) -> Result<Vec<v1::Token>, CallError> {
        let (mut tokens, mut page_token) = (Vec::new(), String::new());
        loop {
            let request = v1::ListTokensRequest { page_size: PAGE, page_token };
            let send = |channel, request| async move { access(channel).list_tokens(request).await };
            let page = self.call("ListTokens", request, send).await?;
            tokens.extend(page.tokens);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return Ok(tokens);
            }
        }
    }
}
