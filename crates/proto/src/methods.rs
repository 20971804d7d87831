//! Properties of methods, as their descriptors have them. The tables are made when this is built:
//! descriptors that are decoded at run time take a megabyte.

/// Paths of the methods that have no side effect, as `/package.Service/Method`.
pub const READS: &[&str] = include!(concat!(env!("OUT_DIR"), "/reads.rs"));

/// Paths of the methods that take a stream of messages.
pub const CLIENT_STREAMS: &[&str] = include!(concat!(env!("OUT_DIR"), "/client_streams.rs"));

include!(concat!(env!("OUT_DIR"), "/method.rs"));

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use prost_types::FileDescriptorSet;

    use super::*;
    use crate::FILE_DESCRIPTOR_SET;

    #[test]
    fn reads_are_told_from_mutations() {
        for read in ["GetDriver", "WatchEvents"] {
            assert!(READS.contains(&&*format!("/muster.v1.MasterService/{read}")), "{read}");
        }
        for mutation in ["SubmitDriver", "KillDriver", "DrainWorker", "StepDown"] {
            assert!(!READS.contains(&&*format!("/muster.v1.MasterService/{mutation}")), "{mutation}");
        }
    }

    #[test]
    fn the_link_alone_takes_a_stream() {
        assert_eq!(CLIENT_STREAMS, ["/muster.v1.ExecutorLinkService/Link", "/muster.v1.WorkerLinkService/Link"]);
    }

    /// The tables and the descriptors that are served are of one build.
    #[test]
    fn the_tables_say_of_each_method_what_its_descriptor_says() {
        let set = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).expect("the build made it");
        let (mut reads, mut streams) = (0, 0);
        for file in &set.file {
            for (service, method) in file.service.iter().flat_map(|s| s.method.iter().map(move |method| (s, method))) {
                let path = format!("/{}.{}/{}", file.package(), service.name(), method.name());
                let is_read = method.options.as_ref().is_some_and(|options| options.idempotency_level == Some(1));
                assert_eq!(READS.contains(&path.as_str()), is_read, "{path}");
                assert_eq!(CLIENT_STREAMS.contains(&path.as_str()), method.client_streaming(), "{path}");
                if file.package() == "muster.v1" {
                    let known = Method::of_path(&path).expect("each is in the enum");
                    assert_eq!(known.path(), path);
                    assert_eq!(known.answers_with_a_stream(), method.server_streaming(), "{path}");
                }
                reads += usize::from(is_read);
                streams += usize::from(method.client_streaming());
            }
        }
        assert_eq!((READS.len(), CLIENT_STREAMS.len()), (reads, streams));
    }
}
