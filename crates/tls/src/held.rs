//! The certificate that a process shows, which is exchanged while connections stand.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

/// A place for a key and its certificate. What is put there is shown from then on, by whoever was
/// given the place; connections that stand keep what they have shown.
#[derive(Debug, Clone, Default)]
pub struct HeldCertificate(pub(crate) Arc<Slot>);

#[derive(Debug, Default)]
pub(crate) struct Slot(ArcSwapOption<CertifiedKey>);

impl HeldCertificate {
    pub(crate) fn show(&self, certified: CertifiedKey) {
        self.0.0.store(Some(Arc::new(certified)));
    }
}

impl Slot {
    pub(crate) fn load(&self) -> Option<Arc<CertifiedKey>> {
        self.0.load_full()
    }
}

impl ResolvesServerCert for Slot {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.load()
    }
}

/// What a server shows to whom: the cluster's certificate to those who ask for its role, and one of
/// the operator's own to everybody else, if there is one.
#[derive(Debug)]
pub(crate) struct ByName {
    pub(crate) role: &'static str,
    pub(crate) of_role: HeldCertificate,
    pub(crate) own: Option<HeldCertificate>,
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let own = self.own.as_ref().filter(|_| hello.server_name() != Some(self.role));
        own.unwrap_or(&self.of_role).0.load()
    }
}

impl ResolvesClientCert for Slot {
    /// Whatever CAs the server hints at: it will say whether it takes this one.
    fn resolve(&self, _hints: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.load()
    }

    fn has_certs(&self) -> bool {
        self.0.load().is_some()
    }
}
