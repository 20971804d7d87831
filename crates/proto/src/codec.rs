//! How messages are encoded and decoded.

use std::marker::PhantomData;

use prost::Message;
use tonic::codec::BufferSettings;
use tonic_prost::{ProstCodec, ProstDecoder, ProstEncoder};

/// Bytes of the buffers that each stream has for each direction at first. A worker's stream lasts
/// for weeks, and its messages have some hundred bytes; tonic's own 8 KiB would be a fifth of what
/// a master holds in memory for a worker. A larger message makes its buffer grow.
const BUFFER: usize = 1024;
/// Bytes of messages that wait already and go out together: as many as tonic takes.
const TOGETHER: usize = 32 * 1024;

/// The codec of every method.
#[derive(Debug, Clone)]
pub struct Codec<Sent, Received>(PhantomData<(Sent, Received)>);

impl<Sent, Received> Default for Codec<Sent, Received> {
    fn default() -> Self {
        Codec(PhantomData)
    }
}

impl<Sent, Received> tonic::codec::Codec for Codec<Sent, Received>
where
    Sent: Message + Send + 'static,
    Received: Message + Default + Send + 'static,
{
    type Encode = Sent;
    type Decode = Received;
    type Encoder = ProstEncoder<Sent>;
    type Decoder = ProstDecoder<Received>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstCodec::<Sent, Received>::raw_encoder(BufferSettings::new(BUFFER, TOGETHER))
    }

    fn decoder(&mut self) -> Self::Decoder {
        ProstCodec::<Sent, Received>::raw_decoder(BufferSettings::new(BUFFER, TOGETHER))
    }
}
