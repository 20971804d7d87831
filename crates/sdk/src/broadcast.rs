//! Values that every task may read. Each travels to an executor once, when a task first asks for
//! it there, and is decoded once.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use muster_proto::v1;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::{TaskContext, TaskError};

/// A value that tasks read. It travels in arguments as its number alone. The value is forgotten
/// everywhere by [`Tasks::forget`](crate::Tasks::forget), or with the
/// application.
pub struct Broadcast<T> {
    pub(crate) number: u64,
    pub(crate) value: PhantomData<fn() -> T>,
}

impl<T> Clone for Broadcast<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Broadcast<T> {}

impl<T> fmt::Debug for Broadcast<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Broadcast({})", self.number)
    }
}

impl<T> Serialize for Broadcast<T> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.number.serialize(serializer)
    }
}

impl<'de, T> Deserialize<'de> for Broadcast<T> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Broadcast { number: u64::deserialize(deserializer)?, value: PhantomData })
    }
}

impl<T: DeserializeOwned + Send + Sync + 'static> Broadcast<T> {
    /// The value. The first task of an executor that asks waits until it has come.
    ///
    /// # Errors
    /// It was forgotten, or is of another type.
    pub fn get(&self, context: &TaskContext) -> Result<Arc<T>, TaskError> {
        context.state.broadcasts.get(self.number, || {
            context.state.outbox.add(|outgoing| outgoing.broadcasts_wanted.push(self.number));
        })
    }
}

type DecodedValue = Arc<dyn Any + Send + Sync>;

/// Where a value stands in an executor.
enum CachedValue {
    /// It was asked for; these wait.
    Wanted { bytes: Vec<u8>, waiting: Vec<SyncSender<()>> },
    /// It is there, as it travelled.
    Encoded(Vec<u8>),
    /// It is there.
    Decoded(DecodedValue),
    /// The driver has it no more.
    Missing,
}

/// The values that an executor has.
#[derive(Default)]
pub(crate) struct BroadcastCache {
    values: Mutex<BTreeMap<u64, CachedValue>>,
}

impl fmt::Debug for BroadcastCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BroadcastCache")
    }
}

impl BroadcastCache {
    fn get<T>(&self, number: u64, want: impl Fn()) -> Result<Arc<T>, TaskError>
    where
        T: DeserializeOwned + Send + Sync + 'static,
    {
        self.get_with(number, want, |bytes| postcard::from_bytes(bytes))
    }

    /// The value, as `decode` makes it of what has travelled.
    pub(crate) fn get_with<T, E>(
        &self,
        number: u64,
        want: impl Fn(),
        decode: impl Fn(&[u8]) -> Result<T, E>,
    ) -> Result<Arc<T>, TaskError>
    where
        T: Send + Sync + 'static,
        E: fmt::Display,
    {
        loop {
            let (sender, receiver) = sync_channel(1);
            let mut values = self.lock();
            match values.get_mut(&number) {
                Some(CachedValue::Decoded(value)) => {
                    let wrong = || TaskError::for_ever(format_args!("broadcast {number} is of another type"));
                    return value.clone().downcast().map_err(|_| wrong());
                }
                Some(CachedValue::Encoded(bytes)) => {
                    // Whoever else asks waits for the lock meanwhile, and decodes nothing.
                    let value = decode(bytes).map_err(|error| {
                        TaskError::for_ever(format_args!("broadcast {number} cannot be decoded: {error}"))
                    })?;
                    let value = Arc::new(value);
                    values.insert(number, CachedValue::Decoded(value.clone()));
                    return Ok(value);
                }
                Some(CachedValue::Missing) => {
                    values.remove(&number);
                    return Err(TaskError::for_ever(format_args!("broadcast {number} was forgotten")));
                }
                Some(CachedValue::Wanted { waiting, .. }) => waiting.push(sender),
                None => {
                    values.insert(number, CachedValue::Wanted { bytes: Vec::new(), waiting: vec![sender] });
                    want();
                }
            }
            drop(values);
            receiver.recv().map_err(|_| TaskError::new(format_args!("broadcast {number} was forgotten meanwhile")))?;
        }
    }

    pub(crate) fn add_piece(&self, piece: v1::DataPiece) {
        let mut values = self.lock();
        let Some(CachedValue::Wanted { bytes, waiting }) = values.get_mut(&piece.number) else { return };
        bytes.extend_from_slice(&piece.data);
        if piece.last {
            let (bytes, waiting) = (std::mem::take(bytes), std::mem::take(waiting));
            let value = if piece.missing { CachedValue::Missing } else { CachedValue::Encoded(bytes) };
            values.insert(piece.number, value);
            // An error means that nobody waits for it any more.
            for waiting in waiting {
                let _ = waiting.try_send(());
            }
        }
    }

    /// Forgets all; whoever waits is told so.
    pub(crate) fn clear(&self) {
        self.lock().clear();
    }

    pub(crate) fn remove(&self, number: u64) {
        self.lock().remove(&number);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, CachedValue>> {
        self.values.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
