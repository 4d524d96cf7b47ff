//! A hotel's front desk: each guest needs a room, and there are few.
//!
//! Read this first. It shows what a pool does for those who get from it: threads and tasks
//! in one line, a deadline that is missed, the last room kept for an emergency, a reservation,
//! a resize, and the statistics.
//!
//! ```sh
//! cargo run --release --example frontdesk
//! ```

#[cfg(not(loom))]
mod hotel {
    use std::thread;
    use std::time::Duration;

    use kva::{Arena, Region, Reserve};
    use pool::{GetError, Item, OwnedItem, Pool};
    use tokio::time::timeout;

    /// A room: constructed once, kept from guest to guest, cleaned in between.
    #[derive(Debug, Default)]
    pub(crate) struct Room {
        guest: Option<&'static str>,
        stays: u32,
    }

    impl Room {
        fn check_in(&mut self, guest: &'static str) {
            self.guest = Some(guest);
            self.stays += 1;
            println!("  {guest} checks in: stay {} in this room", self.stays);
        }
    }

    type Failure = Box<dyn std::error::Error>;

    /// Lets `guest` wait for a room on a thread of its own, and stay for a moment.
    fn send(pool: &Pool<Room>, guest: &'static str) -> thread::JoinHandle<()> {
        let pool = pool.clone();
        thread::spawn(move || match pool.get() {
            Ok(mut room) => room.check_in(guest),
            Err(error) => println!("  {guest} is turned away: {error}"),
        })
    }

    fn wait_for_line(pool: &Pool<Room>, waiting: usize) {
        while pool.stats().waiting < waiting {
            thread::yield_now();
        }
    }

    pub(crate) async fn run() -> Result<(), Failure> {
        // Memory for rooms: 1 MiB of address space, in quanta of 4 KiB.
        let arena = Arena::new(Region::reserve(1 << 20, Reserve::new())?, 4096)?;
        let pool = Pool::builder(3, Room::default) // at most 3 pages,
            .items_per_page(1) // of one room each,
            .critical_reserve(1) // the last of which is for emergencies
            .reset(|room| room.guest = None)
            .name("rooms")
            .build(arena)?;

        println!("Two guests check in; the third room is kept for an emergency.");
        let mut ada: OwnedItem<Room> = pool.get_owned()?;
        ada.check_in("Ada");
        let mut bob: Item<'_, Room> = pool.get()?; // borrows the pool
        bob.check_in("Bob");

        println!("Cleo will wait, but not for long.");
        match pool.get_timeout(Duration::from_millis(20)) {
            Err(error @ GetError::TimedOut(_)) => println!("  Cleo leaves: {error}"),
            other => return Err(format!("there should be no room: {other:?}").into()),
        }

        println!("Nor will Dan, who is a task: dropping the future leaves the line.");
        let dan = timeout(Duration::from_millis(20), pool.get_async()).await;
        println!("  Dan leaves: {}", dan.err().ok_or("there should be no room")?);

        println!("An emergency gets the last room at once.");
        let mut doctor = pool.request().critical().try_get()?;
        doctor.check_in("the doctor");

        println!("Eve, a thread, and Finn, a task, wait in one line; rooms come back.");
        let eve = send(&pool, "Eve");
        wait_for_line(&pool, 1);
        let finn = tokio::spawn({
            let room = pool.get_owned_async();
            async move {
                room.await?.check_in("Finn");
                Ok::<_, GetError<kva::AllocError>>(())
            }
        });
        drop(doctor); // fills the reserve,
        drop(bob); // and this one serves Eve, then Finn
        tokio::task::spawn_blocking(move || eve.join()).await?.map_err(|_| "Eve panicked")?;
        finn.await??;

        println!("A party of two wants both rooms or none, and to know now.");
        match pool.try_reserve(2) {
            Err(error) => println!("  not now: {error}"),
            Ok(_) => return Err("Ada has one of them".into()),
        }
        ada.check_in("Ada, again");
        drop(ada);
        let mut party = pool.try_reserve(2)?; // holds both before anything else is done
        for guest in ["Gus", "Hal"] {
            let mut room = party.get().ok_or("reserved")?; // neither waits nor fails
            room.check_in(guest);
            if guest == "Gus" {
                println!("  {} is left for Hal", party.len());
            }
        }

        println!("A wing is closed while somebody is in, then a larger one is opened.");
        pool.set_critical_reserve(0)?;
        let ivy = pool.get_many(2)?; // both, from one place in the line
        pool.set_hard_limit(2)?;
        let jan = send(&pool, "Jan");
        wait_for_line(&pool, 1);
        pool.set_hard_limit(4)?; // a raised limit serves who waits
        jan.join().map_err(|_| "Jan panicked")?;
        drop(ivy);

        println!("\n{}", pool::registered());
        let stats = pool.stats();
        println!(
            "\nwaits: {} served, p50 {:?}, longest {:?}",
            stats.waits.served, stats.waits.p50, stats.waits.max
        );
        println!("gets that failed: {:?}", stats.failures);
        pool.close();
        println!("closed: {}", pool.get().err().ok_or("it is closed")?);
        Ok(())
    }
}

#[cfg(not(loom))]
#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    hotel::run().await
}

#[cfg(loom)]
fn main() {
    println!("nothing to see here under loom");
}
