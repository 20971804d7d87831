//! The services of both versions of the protocol, which differ only in their types.

use std::pin::Pin;
use std::sync::Arc;

use tokio_stream::{Stream, StreamExt as _};
use tonic::codec::CompressionEncoding::Gzip;
use tonic::{Code, Request, Response, Status, Streaming};

use super::{LazyIndex, ReflectionIndex};
use crate::server::{MAX_REQUEST, status_of_read};

macro_rules! version {
    ($name:ident, $build:ident, $version:ident, $text:literal) => {
        #[doc = concat!("The handler of grpc.reflection.", $text, ".")]
        #[derive(Debug, Clone)]
        pub struct $name(Arc<LazyIndex>);

        #[doc = concat!("The service grpc.reflection.", $text, ", which takes gzip like all else.")]
        pub fn $build(index: &Arc<LazyIndex>) -> tonic_reflection::server::$version::ServerReflectionServer<$name> {
            tonic_reflection::server::$version::ServerReflectionServer::new($name(index.clone()))
                .accept_compressed(Gzip)
                .send_compressed(Gzip)
                .max_decoding_message_size(MAX_REQUEST)
        }

        const _: () = {
            use pb::server_reflection_request::MessageRequest as Asked;
            use pb::server_reflection_response::MessageResponse as Answer;
            use tonic_reflection::pb::$version as pb;

            fn file(found: Option<&[u8]>, name: &str) -> Answer {
                match found {
                    Some(file) => {
                        let file_descriptor_proto = vec![file.to_vec()];
                        Answer::FileDescriptorResponse(pb::FileDescriptorResponse { file_descriptor_proto })
                    }
                    None => refused(Code::NotFound, format!("{name} is not reflected here")),
                }
            }

            fn refused(code: Code, error_message: String) -> Answer {
                Answer::ErrorResponse(pb::ErrorResponse { error_code: code.into(), error_message })
            }

            fn services(index: &ReflectionIndex) -> Answer {
                let service = index.services().map(|name| pb::ServiceResponse { name: name.to_owned() }).collect();
                Answer::ListServicesResponse(pb::ListServiceResponse { service })
            }

            /// proto3 has no extensions, so a known message has an empty list.
            fn extensions(index: &ReflectionIndex, name: &str) -> Answer {
                match index.file_containing(name) {
                    Some(_) => Answer::AllExtensionNumbersResponse(pb::ExtensionNumberResponse {
                        base_type_name: name.to_owned(),
                        extension_number: Vec::new(),
                    }),
                    None => file(None, name),
                }
            }

            /// An error is an answer as well; the stream continues after it.
            fn answer(index: &ReflectionIndex, request: pb::ServerReflectionRequest) -> pb::ServerReflectionResponse {
                let answer = match &request.message_request {
                    Some(Asked::FileByFilename(name)) => file(index.file_named(name), name),
                    Some(Asked::FileContainingSymbol(name)) => file(index.file_containing(name), name),
                    Some(Asked::FileContainingExtension(asked)) => file(None, &asked.containing_type),
                    Some(Asked::AllExtensionNumbersOfType(name)) => extensions(index, name),
                    Some(Asked::ListServices(_)) => services(index),
                    None => refused(Code::InvalidArgument, "nothing is asked for that is known here".to_owned()),
                };
                pb::ServerReflectionResponse {
                    valid_host: request.host.clone(),
                    original_request: Some(request),
                    message_response: Some(answer),
                }
            }

            #[tonic::async_trait]
            impl tonic_reflection::server::$version::ServerReflection for $name {
                type ServerReflectionInfoStream =
                    Pin<Box<dyn Stream<Item = Result<pb::ServerReflectionResponse, Status>> + Send>>;

                async fn server_reflection_info(
                    &self,
                    request: Request<Streaming<pb::ServerReflectionRequest>>,
                ) -> Result<Response<Self::ServerReflectionInfoStream>, Status> {
                    let index = self.0.clone();
                    let answers = request.into_inner().map(move |asked| match asked {
                        Ok(asked) => Ok(answer(&index, asked)),
                        Err(status) => Err(status_of_read(status, MAX_REQUEST)),
                    });
                    Ok(Response::new(Box::pin(answers)))
                }
            }
        };
    };
}

version!(V1, v1, v1, "v1");
version!(V1Alpha, v1alpha, v1alpha, "v1alpha");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_is_made_by_the_first_request_and_for_both_versions() {
        fn is_made(index: &LazyIndex) -> bool {
            format!("{index:?}") != "LazyLock(<uninit>)"
        }
        let index = Arc::new(ReflectionIndex::lazy(&["muster.v1.WorkerService"]));
        let _servers = (v1(&index), v1alpha(&index));
        assert!(!is_made(&index), "a server that nobody asks does without");
        assert!(index.services().any(|name| name == "muster.v1.WorkerService"));
        assert!(is_made(&index));
    }
}
