//! Large things, and how they go.

use std::ops::{Deref, DerefMut};
use std::thread;

/// Something that takes long to be taken apart: that is done on a thread of its own, when nobody
/// else on this machine needs the processor. A leader that hands over holds everything that the
/// cluster remembers, and whoever follows it may run beside it.
#[derive(Debug)]
pub struct DropInBackground<T: Send + 'static>(Option<T>);

impl<T: Send + 'static> DropInBackground<T> {
    /// Holds it.
    pub fn new(value: T) -> DropInBackground<T> {
        DropInBackground(Some(value))
    }
}

impl<T: Send + Default + 'static> Default for DropInBackground<T> {
    fn default() -> Self {
        DropInBackground::new(T::default())
    }
}

impl<T: Send + 'static> Deref for DropInBackground<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.as_ref().expect("it is taken out only when this is dropped")
    }
}

impl<T: Send + 'static> DerefMut for DropInBackground<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.0.as_mut().expect("it is taken out only when this is dropped")
    }
}

impl<T: Send + 'static> Drop for DropInBackground<T> {
    fn drop(&mut self) {
        let Some(value) = self.0.take() else { return };
        let go = move || {
            // Of this thread alone. One that is refused goes with the others' priority.
            let _ = rustix::process::setpriority_process(None, 19);
            drop(value);
        };
        // Where there is no thread to be had, the value has gone with what would have run on it.
        let _ = thread::Builder::new().name("large".to_owned()).spawn(go);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use std::thread::ThreadId;

    struct DropSignal(mpsc::SyncSender<ThreadId>);

    impl Drop for DropSignal {
        fn drop(&mut self) {
            self.0.send(std::thread::current().id()).unwrap();
        }
    }

    #[test]
    fn it_goes_on_another_thread() {
        let (sender, hears) = mpsc::sync_channel(1);
        drop(DropInBackground::new(DropSignal(sender)));
        assert_ne!(hears.recv().unwrap(), thread::current().id());
    }
}
