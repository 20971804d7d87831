//! The calls of `ApplicationService`. This crate only opens a session's stream; the sdk keeps it.

use muster_proto::v1;
use muster_proto::v1::application_service_client::ApplicationServiceClient;
use tonic::transport::Channel;

use crate::client::fill;
use crate::master::MAX_ANSWER;
use crate::{CallError, Client, MessageStream};

fn service(channel: Channel) -> ApplicationServiceClient<Channel> {
    ApplicationServiceClient::new(channel).max_decoding_message_size(MAX_ANSWER)
}

impl Client {
    /// Registers an application. The answer comes once the registration is durable.
    pub async fn register_application(
        &self,
        mut request: v1::RegisterApplicationRequest,
    ) -> Result<v1::Application, CallError> {
        fill(&mut request.request_id);
        let send = |channel, request| async move { service(channel).register_application(request).await };
        Ok(self.call("RegisterApplication", request, send).await?.application.unwrap_or_default())
    }

    /// Opens an application's session, which ends an older one.
    pub async fn watch_application(
        &self,
        request: v1::WatchApplicationRequest,
    ) -> Result<MessageStream<v1::WatchApplicationResponse>, CallError> {
        let send = |channel, request| async move { service(channel).watch_application(request).await };
        self.open("WatchApplication", request, send).await
    }

    /// Sets how many executors of each profile an application wants: absolute numbers, not changes.
    pub async fn request_executors(
        &self,
        mut request: v1::RequestExecutorsRequest,
    ) -> Result<v1::RequestExecutorsResponse, CallError> {
        fill(&mut request.request_id);
        let send = |channel, request| async move { service(channel).request_executors(request).await };
        self.call("RequestExecutors", request, send).await
    }

    /// Ends executors.
    pub async fn kill_executors(
        &self,
        mut request: v1::KillExecutorsRequest,
    ) -> Result<v1::KillExecutorsResponse, CallError> {
        fill(&mut request.request_id);
        let send = |channel, request| async move { service(channel).kill_executors(request).await };
        self.call("KillExecutors", request, send).await
    }

    /// Ends an application.
    pub async fn unregister_application(
        &self,
        mut request: v1::UnregisterApplicationRequest,
    ) -> Result<v1::Application, CallError> {
        fill(&mut request.request_id);
        let send = |channel, request| async move { service(channel).unregister_application(request).await };
        Ok(self.call("UnregisterApplication", request, send).await?.application.unwrap_or_default())
    }
}
