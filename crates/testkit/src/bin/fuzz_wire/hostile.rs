//! Messages that no well-meaning client sends: random bytes, and messages of the right form whose
//! fields hold what is at the edge or beyond.

use prost_reflect::prost::Message as _;
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, Value};

/// SplitMix64: the same seed sends the same messages.
#[derive(Debug, Clone)]
pub(super) struct RandomBits(u64);

impl RandomBits {
    /// From a seed.
    pub(super) fn new(seed: u64) -> RandomBits {
        RandomBits(seed)
    }

    /// 64 bits.
    pub(super) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// Below a bound, which is not 0.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.bits() % bound as u64).unwrap_or_default()
    }

    fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }
}

/// Messages within messages. The deepest of ours have fewer.
const DEPTH: usize = 6;

/// The body of a request: mostly a message of the form that the method takes, with its prefix left
/// to the codec.
pub(super) fn body(form: &MessageDescriptor, random: &mut RandomBits) -> Vec<u8> {
    let mut bytes = match random.below(8) {
        0 => {
            let length = random.below(300);
            (0..length).map(|_| random.bits() as u8).collect()
        }
        _ => message(form, random, DEPTH).encode_to_vec(),
    };
    // One that is nearly right.
    if random.one_in(8) && !bytes.is_empty() {
        for _ in 0..=random.below(4) {
            let place = random.below(bytes.len());
            bytes[place] = random.bits() as u8;
        }
        if random.one_in(4) {
            bytes.truncate(random.below(bytes.len()));
        }
    }
    bytes
}

fn message(form: &MessageDescriptor, random: &mut RandomBits, depth: usize) -> DynamicMessage {
    let mut made = DynamicMessage::new(form.clone());
    for field in form.fields() {
        if random.one_in(3) {
            continue;
        }
        if field.is_map() {
            let entries = (0..random.below(3)).map(|_| {
                let Kind::Message(entry) = field.kind() else { unreachable!("an entry of a map is a message") };
                (MapKey::String(text(random)), single(&entry.map_entry_value_field(), random, depth))
            });
            made.set_field(&field, Value::Map(entries.collect()));
        } else if field.is_list() {
            let most = if random.one_in(200) { 2000 } else { 4 };
            let items = (0..random.below(most)).map(|_| single(&field, random, depth.min(2))).collect();
            made.set_field(&field, Value::List(items));
        } else if depth > 0 || !matches!(field.kind(), Kind::Message(_)) {
            made.set_field(&field, single(&field, random, depth));
        }
    }
    made
}

fn single(field: &FieldDescriptor, random: &mut RandomBits, depth: usize) -> Value {
    const EDGES: [u64; 10] = [0, 1, 2, 127, 1 << 31, (1 << 31) - 1, u32::MAX as u64, 1 << 63, (1 << 63) - 1, u64::MAX];
    let number = if random.one_in(3) { random.bits() } else { EDGES[random.below(EDGES.len())] };
    match field.kind() {
        Kind::Double => Value::F64(f64::from_bits(number)),
        Kind::Float => Value::F32(f32::from_bits(number as u32)),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => Value::I32(number as i32),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => Value::I64(number as i64),
        Kind::Uint32 | Kind::Fixed32 => Value::U32(number as u32),
        Kind::Uint64 | Kind::Fixed64 => Value::U64(number),
        Kind::Bool => Value::Bool(number & 1 == 1),
        Kind::Enum(_) => Value::EnumNumber(if random.one_in(4) { number as i32 } else { random.below(6) as i32 }),
        Kind::String => Value::String(text(random)),
        Kind::Bytes => {
            let length = random.below(200);
            Value::Bytes((0..length).map(|_| random.bits() as u8).collect::<Vec<_>>().into())
        }
        Kind::Message(form) => Value::Message(message(&form, random, depth.saturating_sub(1))),
    }
}

/// A text: a name that may exist, what only looks like one, what programs stumble over.
fn text(random: &mut RandomBits) -> String {
    const TEXTS: [&str; 30] = [
        "",
        "a",
        "w1",
        "driver",
        "MUSTER",
        ".",
        "..",
        "../../../../etc/passwd",
        "/bin/true",
        "/proc/self/environ",
        "file:///etc/shadow",
        "http://169.254.169.254/",
        "http://[::ffff:127.0.0.1]:1/",
        "sha256:",
        "mst_0123456789ab_",
        "00000000000000000000000000000001",
        "ffffffffffffffffffffffffffffffff",
        "0123456789ab",
        "1:1",
        "-1",
        "18446744073709551616",
        "%s%n%x",
        "{}",
        "\0",
        "\u{202e}abc",
        "a\nb",
        "é",
        "😀",
        "state=RUNNING AND (",
        "system:local",
    ];
    match random.below(40) {
        0 => "x".repeat(random.below(70_000)),
        1 => format!("{:032x}", u128::from(random.bits())),
        2 => "(".repeat(random.below(5000)),
        _ => TEXTS[random.below(TEXTS.len())].to_owned(),
    }
}
