//! Drops large values without a delay for anybody else.

use std::ops::{Deref, DerefMut};
use std::thread;

/// A value whose drop takes long. It is dropped on its own thread with the lowest priority, so that
/// it uses only spare processor time. A leader that hands over holds all records of the cluster,
/// and its successor may run on the same machine.
#[derive(Debug)]
pub struct DropInBackground<T: Send + 'static>(Option<T>);

impl<T: Send + 'static> DropInBackground<T> {
    /// Wraps a value.
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
            // The priority is that of this thread alone. When it is refused, the drop runs at the
            // normal priority.
            let _ = rustix::process::setpriority_process(None, 19);
            drop(value);
        };
        // Without a thread, the value was dropped together with the closure.
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
