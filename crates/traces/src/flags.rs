//! The flags of a program that is traced.

use std::path::PathBuf;

/// Where spans are exported to.
#[derive(Debug, Clone, Default, PartialEq, Eq, clap::Args)]
pub struct OtlpFlags {
    /// OpenTelemetry collector to which traces are exported, over OTLP with gRPC: http:// or
    /// https://HOST:PORT. Else that of OTEL_EXPORTER_OTLP_ENDPOINT, else none. The service's name,
    /// sampling, queue and headers are those of the OTEL_* variables.
    #[arg(long, env = "MUSTER_OTLP_ENDPOINT", value_name = "URL")]
    pub otlp_endpoint: Option<String>,
    /// File with the CA of an https:// collector; by default the machine's are trusted.
    #[arg(long, env = "MUSTER_OTLP_CA", value_name = "PATH")]
    pub otlp_ca: Option<PathBuf>,
}

/// The flag as people write it.
const FLAG: &str = "--otlp-endpoint";

/// The variables that name a collector, the more specific one first.
const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];

impl OtlpFlags {
    /// The collector, of the flag, else of a variable, and which of them names it. `None`: spans go
    /// nowhere.
    pub(crate) fn collector(&self, variable: impl Fn(&str) -> Option<String>) -> Option<(String, &'static str)> {
        let is = |name: &str, value: &str| variable(name).is_some_and(|text| text.trim().eq_ignore_ascii_case(value));
        if let Some(endpoint) = &self.otlp_endpoint {
            return Some((endpoint.clone(), FLAG));
        }
        if is("OTEL_SDK_DISABLED", "true") || is("OTEL_TRACES_EXPORTER", "none") {
            return None;
        }
        ENDPOINTS.into_iter().find_map(|name| Some((variable(name).filter(|endpoint| !endpoint.is_empty())?, name)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flag_stands_above_the_variables_and_there_is_none_without_either() {
        let flags = |endpoint: Option<&str>| OtlpFlags { otlp_endpoint: endpoint.map(str::to_owned), otlp_ca: None };
        let of = |flag: Option<&str>, variables: &[(&str, &str)]| {
            let value =
                |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
            flags(flag).collector(value).map(|(collector, _)| collector)
        };
        let [traces, all] = ENDPOINTS;
        assert_eq!(of(None, &[]), None);
        assert_eq!(of(Some("http://a"), &[(all, "http://b")]).as_deref(), Some("http://a"));
        assert_eq!(of(None, &[(all, "http://b")]).as_deref(), Some("http://b"));
        assert_eq!(of(None, &[(all, "http://b"), (traces, "http://c")]).as_deref(), Some("http://c"));
        assert_eq!(of(None, &[(all, "")]), None);
        for (name, value) in [("OTEL_SDK_DISABLED", "true"), ("OTEL_TRACES_EXPORTER", "none")] {
            assert_eq!(of(None, &[(all, "http://b"), (name, value)]), None, "{name}");
        }
    }

    #[test]
    fn an_address_that_is_none_is_told_with_what_names_it() {
        let flags = |endpoint: Option<&str>| OtlpFlags { otlp_endpoint: endpoint.map(str::to_owned), otlp_ca: None };
        let [_, all] = ENDPOINTS;
        let variable = |name: &str| (name == all).then(|| "collector:4317".to_owned());
        for (flag, named) in
            [(Some("collector"), "--otlp-endpoint is not"), (None, "OTEL_EXPORTER_OTLP_ENDPOINT is not")]
        {
            let (_, by) = flags(flag).collector(variable).unwrap();
            assert!(crate::TracesError::Endpoint(by).to_string().starts_with(named), "{by}");
        }
    }
}
