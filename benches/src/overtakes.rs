//! How often waiters are overtaken by later arrivals, counted by a peer under its own lock.

/// Who began to wait when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ticket(u64);

/// Those who wait now, and how often each was overtaken.
#[derive(Debug, Default)]
pub(crate) struct Overtakes {
    next: u64,
    waiting: Vec<(Ticket, u64)>,
    most: u64,
}

impl Overtakes {
    /// Somebody found no object.
    pub(crate) fn begin_to_wait(&mut self) -> Ticket {
        let ticket = Ticket(self.next);
        self.next += 1;
        self.waiting.push((ticket, 0));
        ticket
    }

    /// Somebody found an object at once: whoever waits is older.
    pub(crate) fn passed_by(&mut self) {
        self.overtaken_by(Ticket(self.next));
    }

    /// Somebody who waited has an object.
    pub(crate) fn served(&mut self, ticket: Ticket) {
        self.waiting.retain(|(waiter, _)| *waiter != ticket);
        self.overtaken_by(ticket);
    }

    /// The most that anybody was overtaken.
    pub(crate) fn most(&self) -> u64 {
        self.most
    }

    fn overtaken_by(&mut self, ticket: Ticket) {
        for (_, times) in self.waiting.iter_mut().filter(|(waiter, _)| *waiter < ticket) {
            *times += 1;
            self.most = self.most.max(*times);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_those_who_came_later_overtake() {
        let mut overtakes = Overtakes::default();
        let first = overtakes.begin_to_wait();
        let second = overtakes.begin_to_wait();
        overtakes.served(first);
        assert_eq!(overtakes.most(), 0);
        overtakes.passed_by();
        overtakes.passed_by();
        assert_eq!(overtakes.most(), 2);
        overtakes.served(second);
        overtakes.passed_by();
        assert_eq!(overtakes.most(), 2);
    }

    #[test]
    fn a_waiter_may_be_overtaken_by_a_waiter() {
        let mut overtakes = Overtakes::default();
        let first = overtakes.begin_to_wait();
        for _ in 0..3 {
            let later = overtakes.begin_to_wait();
            overtakes.served(later);
        }
        overtakes.served(first);
        assert_eq!(overtakes.most(), 3);
    }
}
