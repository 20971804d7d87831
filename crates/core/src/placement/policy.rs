//! The operator's choices for placement.

use muster_types::RequiredContainment;

/// The order in which workers are tried for executors. Ties are ordered by worker uid: ascending,
/// and descending in the `Desc` policies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum SelectionPolicy {
    /// Most free cores first.
    #[default]
    CoresFreeDesc,
    /// Fewest free cores first.
    CoresFreeAsc,
    /// Most free memory first.
    MemoryFreeDesc,
    /// Least free memory first.
    MemoryFreeAsc,
    /// By worker uid.
    WorkerId,
}

impl SelectionPolicy {
    /// Every policy.
    pub const ALL: [SelectionPolicy; 5] = [
        SelectionPolicy::CoresFreeDesc,
        SelectionPolicy::CoresFreeAsc,
        SelectionPolicy::MemoryFreeDesc,
        SelectionPolicy::MemoryFreeAsc,
        SelectionPolicy::WorkerId,
    ];

    /// The word in options.
    pub fn as_str(self) -> &'static str {
        match self {
            SelectionPolicy::CoresFreeDesc => "CORES_FREE_DESC",
            SelectionPolicy::CoresFreeAsc => "CORES_FREE_ASC",
            SelectionPolicy::MemoryFreeDesc => "MEMORY_FREE_DESC",
            SelectionPolicy::MemoryFreeAsc => "MEMORY_FREE_ASC",
            SelectionPolicy::WorkerId => "WORKER_ID",
        }
    }

    /// The policy of a word in options.
    pub fn from_word(word: &str) -> Option<SelectionPolicy> {
        SelectionPolicy::ALL.into_iter().find(|policy| policy.as_str() == word)
    }
}

/// The operator's choices. They must not change during the life of a core, because a shape that
/// fitted nowhere under one policy is not tried again under another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Whether each driver goes to the worker with the most free cores, with equals in turn;
    /// otherwise to the first worker by uid that fits.
    pub spread_drivers: bool,
    /// Whether an application's executors go to the workers in turn; otherwise each worker gets as
    /// many as fit.
    pub spread_executors: bool,
    /// The order of workers for executors.
    pub selection: SelectionPolicy,
    /// The most drivers that may be placed at one time.
    pub max_drivers: Option<u32>,
    /// The limit of cores for an application that names none.
    pub default_cores: Option<u32>,
    /// What a worker must be able to enforce to be given work.
    pub require_containment: RequiredContainment,
}

impl Default for Policy {
    fn default() -> Self {
        Policy {
            spread_drivers: true,
            spread_executors: true,
            selection: SelectionPolicy::default(),
            max_drivers: None,
            default_cores: None,
            // A machine without control groups can still be used for a trial. With etcd the master
            // sets this by default.
            require_containment: RequiredContainment::Nothing,
        }
    }
}

impl Policy {
    /// Cores that an application may still be granted: its limit (0: the cluster's default) less
    /// what it holds.
    pub fn cores_left(&self, max_cores: u32, granted: u64) -> u64 {
        let limit = match (max_cores, self.default_cores) {
            (0, None) => u64::MAX,
            (0, Some(default)) => u64::from(default),
            (limit, _) => u64::from(limit),
        };
        limit.saturating_sub(granted)
    }
}
