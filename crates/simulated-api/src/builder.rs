//! What a simulated API is told before it runs.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use crate::api::{Asked, SimulatedApi, State};
use crate::collection::{Collection, Row};
use crate::fault::Fault;
use crate::wire::Api;

impl SimulatedApi {
    /// An API that speaks this wire format, without rows, faults or writes.
    pub fn builder(api: Api) -> Builder {
        Builder(State {
            api,
            rows: Collection::new(api.key_field(), api.is_stamped(), 0),
            faults: Box::new(|_| None),
            writes: Box::new(|_, _| ()),
            key: "key".into(),
            rotations: BTreeMap::new(),
            on_rotation: Box::new(|_| ()),
            ceiling: api.ceiling(),
            caps: false,
            requests: 0,
            log: Vec::new(),
        })
    }
}

/// Collects what a [`SimulatedApi`] does.
#[must_use = "a builder does nothing before `build`"]
pub struct Builder(State);

impl Builder {
    /// This many rows; 0 by default.
    pub fn rows(mut self, count: u64) -> Self {
        self.0.rows = Collection::new(self.0.api.key_field(), self.0.api.is_stamped(), count);
        self
    }

    /// These rows.
    pub fn rows_of(mut self, rows: impl IntoIterator<Item = Row>) -> Self {
        self.0.rows.replace(rows.into_iter().collect());
        self
    }

    /// The key that requests must carry; "key" by default.
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.0.key = key.into();
        self
    }

    /// From request `number` on only this key is good.
    pub fn rotate_key(mut self, number: u64, key: impl Into<String>) -> Self {
        self.0.rotations.insert(number, key.into());
        self
    }

    /// Tells this function of a new key in the moment in which the old one ends.
    pub fn on_rotation(mut self, tell: impl FnMut(&str) + Send + 'static) -> Self {
        self.0.on_rotation = Box::new(tell);
        self
    }

    /// The largest page; a request for more is refused with 400, or gets less if `caps`.
    pub fn ceiling(mut self, rows: usize, caps: bool) -> Self {
        (self.0.ceiling, self.0.caps) = (rows, caps);
        self
    }

    /// What goes wrong, asked before every request.
    pub fn faults(mut self, faults: impl FnMut(&Asked) -> Option<Fault> + Send + 'static) -> Self {
        self.0.faults = Box::new(faults);
        self
    }

    /// These faults at these requests, counted from one.
    pub fn script(self, script: impl IntoIterator<Item = (u64, Fault)>) -> Self {
        let mut script: BTreeMap<u64, Fault> = script.into_iter().collect();
        self.faults(move |asked| script.remove(&asked.number))
    }

    /// One fault of every kind that a reader survives, in every 128 requests.
    pub fn faults_by_seed(self, seed: u64) -> Self {
        let mut faults = Fault::by_seed(seed);
        self.faults(move |asked| faults(asked.number))
    }

    /// What is written, told the number of the request that comes next.
    pub fn writes(mut self, writes: impl FnMut(u64, &mut Collection) + Send + 'static) -> Self {
        self.0.writes = Box::new(writes);
        self
    }

    /// A write before every other request on average: at the end, anywhere, or a delete anywhere.
    pub fn writes_by_seed(self, seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed ^ 0x5eed);
        self.writes(move |number, rows| {
            if number == 1 || random.bool() {
                return;
            }
            match random.u8(0..3) {
                0 => rows.append(),
                1 => rows.insert_before(random.usize(..=rows.len())),
                _ => rows.delete_at(random.usize(..=rows.len())),
            }
        })
    }

    /// The API.
    #[must_use]
    pub fn build(self) -> SimulatedApi {
        SimulatedApi(Arc::new(Mutex::new(self.0)))
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").field("api", &self.0.api).finish_non_exhaustive()
    }
}
