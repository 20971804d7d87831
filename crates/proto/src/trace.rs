//! The trace that a call belongs to: the header `traceparent`, as the W3C has it.

use http::HeaderMap;
use muster_types::TraceContext;
use tonic::Request;
use tonic::metadata::MetadataValue;

/// The span that a call is made for. A header that is malformed, or that comes twice, counts as
/// none.
pub fn of_headers(headers: &HeaderMap) -> Option<TraceContext> {
    let mut values = headers.get_all(TraceContext::HEADER).iter();
    let (value, None) = (values.next()?, values.next()) else { return None };
    value.to_str().ok()?.trim().parse().ok()
}

/// Has a call be made for a span.
pub fn attach<T>(request: &mut Request<T>, trace: &TraceContext) {
    if let Ok(value) = MetadataValue::try_from(trace.to_string()) {
        request.metadata_mut().insert(TraceContext::HEADER, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_in_a_trace_if_it_says_so_once_and_well() {
        let trace = TraceContext::new(1, 2, true).unwrap();
        let mut request = Request::new(());
        attach(&mut request, &trace);
        let mut headers = request.metadata().clone().into_headers();
        assert_eq!(of_headers(&headers), Some(trace));
        headers.append(TraceContext::HEADER, trace.to_string().parse().unwrap());
        assert_eq!(of_headers(&headers), None);
        headers.insert(TraceContext::HEADER, "00-1-2-3".parse().unwrap());
        assert_eq!(of_headers(&headers), None);
        assert_eq!(of_headers(&HeaderMap::new()), None);
    }
}
