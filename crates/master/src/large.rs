//! Large things, and how they go.

use std::ops::{Deref, DerefMut};

use tokio::runtime::Handle;

/// Something that takes long to be taken apart: that is done on a thread of its own, since whoever held it last has more urgent things to do.
/// A leader that hands over holds everything that the cluster remembers.
#[derive(Debug)]
pub(crate) struct Large<T: Send + 'static>(Option<T>);

impl<T: Send + 'static> Large<T> {
    /// Holds it.
    pub(crate) fn new(value: T) -> Large<T> {
        Large(Some(value))
    }
}

impl<T: Send + Default + 'static> Default for Large<T> {
    fn default() -> Self {
        Large::new(T::default())
    }
}

impl<T: Send + 'static> Deref for Large<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.as_ref().expect("it is taken out only when this is dropped")
    }
}

impl<T: Send + 'static> DerefMut for Large<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.0.as_mut().expect("it is taken out only when this is dropped")
    }
}

impl<T: Send + 'static> Drop for Large<T> {
    fn drop(&mut self) {
        if let (Some(value), Ok(runtime)) = (self.0.take(), Handle::try_current()) {
            drop(runtime.spawn_blocking(move || drop(value)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use std::thread::ThreadId;

    struct Told(mpsc::SyncSender<ThreadId>);

    impl Drop for Told {
        fn drop(&mut self) {
            self.0.send(std::thread::current().id()).unwrap();
        }
    }

    #[tokio::test]
    async fn it_goes_on_another_thread() {
        let (told, hears) = mpsc::sync_channel(1);
        drop(Large::new(Told(told)));
        assert_ne!(hears.recv().unwrap(), std::thread::current().id());
    }

    #[test]
    fn it_goes_without_a_runtime() {
        let (told, hears) = mpsc::sync_channel(1);
        drop(Large::new(Told(told)));
        assert_eq!(hears.recv().unwrap(), std::thread::current().id());
    }
}
