//! Who is connected: the agent, and guests that have not said hello. The newest hello makes the agent; the one before it is cut, with all that
//! it had sent and was not read.

use std::collections::BTreeMap;
use std::io;

use muster_agent::runner_protocol::{RunnerHello, ToAgent, ToRunner, VERSION, VERSION_MIN};

use super::poll::{Poll, Ready};
use crate::connection::{Broken, Connection, Listener, Read};

/// Connections that have not said hello; more are turned away.
const MAX_GUESTS: usize = 8;

/// The connections.
pub(super) struct Doors {
    listener: Listener,
    guests: BTreeMap<u32, Connection>,
    agent: Option<(u32, Connection)>,
    last_number: u32,
    is_writing_watched: bool,
}

impl Doors {
    pub(super) fn new(listener: Listener, poll: &Poll) -> io::Result<Doors> {
        poll.watch(&listener, Ready::Listener)?;
        Ok(Doors { listener, guests: BTreeMap::new(), agent: None, last_number: 0, is_writing_watched: false })
    }

    /// Takes the connections that wait.
    pub(super) fn accept(&mut self, poll: &Poll) {
        while let Some(socket) = self.listener.accept() {
            if self.guests.len() >= MAX_GUESTS {
                continue;
            }
            self.last_number = self.last_number.wrapping_add(1);
            let connection = Connection::new(socket);
            if poll.watch(&connection, Ready::Connection(self.last_number)).is_ok() {
                self.guests.insert(self.last_number, connection);
            }
        }
    }

    /// Hears the guests; whether one of them is the new agent. `hello` is answered to it.
    pub(super) fn hear_guests(&mut self, hello: impl Fn(u32) -> RunnerHello) -> bool {
        let mut is_new = false;
        let numbers: Vec<u32> = self.guests.keys().copied().collect();
        for number in numbers {
            let Some(mut guest) = self.guests.remove(&number) else { continue };
            match greet(&mut guest) {
                Greeting::Silent => {
                    self.guests.insert(number, guest);
                }
                Greeting::Bad(refusal) => {
                    guest.push(&ToAgent::Refused(refusal));
                    // It is cut whether or not it can still read why.
                    let _ = guest.send();
                }
                Greeting::Gone => {}
                Greeting::Hello(version) => {
                    guest.push(&ToAgent::Hello(Box::new(hello(version))));
                    self.agent = Some((number, guest));
                    self.is_writing_watched = false;
                    is_new = true;
                }
            }
        }
        is_new
    }

    /// Reads once from the agent and takes every whole message. Whether there may be more.
    pub(super) fn hear_agent(&mut self, mut take: impl FnMut(ToRunner)) -> Read {
        let Some((_, agent)) = &mut self.agent else { return Read::Nothing };
        let mut take_all = |agent: &mut Connection| -> Result<(), Broken> {
            while let Some(message) = agent.take()? {
                take(message);
            }
            Ok(())
        };
        // What came behind the hello is not taken yet.
        let heard = take_all(agent).and_then(|()| agent.read()).and_then(|read| take_all(agent).map(|()| read));
        heard.unwrap_or_else(|broken| {
            self.cut(&broken);
            Read::Nothing
        })
    }

    /// Sends the agent messages, and what it did not take before.
    pub(super) fn tell_agent(&mut self, messages: impl IntoIterator<Item = ToAgent>, poll: &Poll) {
        let Some((number, agent)) = &mut self.agent else { return };
        messages.into_iter().for_each(|message| agent.push(&message));
        match agent.send() {
            Ok(all) if all != self.is_writing_watched => {}
            Ok(all) => {
                self.is_writing_watched = !all;
                // If it cannot be watched it is sent with the next message.
                let _ = poll.watch_writing(&*agent, *number, !all);
            }
            Err(broken) => self.cut(&broken),
        }
    }

    /// While the journal is choked the agent is not read: it would be ready all the time.
    pub(super) fn pause_agent(&self, poll: &Poll) {
        if let Some((_, agent)) = &self.agent {
            poll.forget(agent);
        }
    }

    /// Undoes [`Doors::pause_agent`].
    pub(super) fn resume_agent(&mut self, poll: &Poll) {
        if let Some((number, agent)) = &self.agent {
            self.is_writing_watched = false;
            // It is watched already if it came while its predecessor was paused.
            let _ = poll.watch(agent, Ready::Connection(*number));
        }
    }

    fn cut(&mut self, broken: &Broken) {
        if let Broken::Frame(error) = broken
            && let Some((_, agent)) = &mut self.agent
        {
            agent.push(&ToAgent::Refused(error.to_string()));
            // It is cut whether or not it can still read why.
            let _ = agent.send();
        }
        self.agent = None;
    }
}

enum Greeting {
    Silent,
    Gone,
    Bad(String),
    /// The version that both speak.
    Hello(u32),
}

fn greet(guest: &mut Connection) -> Greeting {
    if let Err(broken) = guest.read() {
        return match broken {
            Broken::Closed | Broken::Stuck => Greeting::Gone,
            Broken::Frame(error) => Greeting::Bad(error.to_string()),
        };
    }
    match guest.take() {
        Ok(None) => Greeting::Silent,
        Ok(Some(ToRunner::Hello(hello))) => {
            let version = hello.version_max.min(VERSION);
            if version < hello.version_min.max(VERSION_MIN) {
                return Greeting::Bad(format!("this runner speaks versions {VERSION_MIN} to {VERSION}"));
            }
            Greeting::Hello(version)
        }
        Ok(Some(_)) => Greeting::Bad("the first message must be a hello".to_owned()),
        Err(Broken::Frame(error)) => Greeting::Bad(error.to_string()),
        Err(Broken::Closed | Broken::Stuck) => Greeting::Gone,
    }
}
