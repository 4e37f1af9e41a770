//! Several workers on one read model.

use ees_projector::{Settings, State};

use crate::support::{Balances, Bank};

#[tokio::test(flavor = "multi_thread")]
async fn one_of_several_workers_is_at_work_and_another_takes_over_when_it_goes() {
    let bank = Bank::new().await;
    let mut workers = vec![
        bank.start(Balances::default(), Settings::default()).await,
        bank.start(Balances::default(), Settings::default()).await,
    ];
    bank.deposit("a", 1).await;
    for worker in &workers {
        bank.caught_up(worker).await;
    }
    let owner = bank.status_when(&workers[0], |status| status.owner.is_some()).await.owner;
    let seen = bank.status_when(&workers[1], |status| status.owner == owner).await;
    let at_work = usize::from(seen.state != State::Elsewhere);
    let gone = workers.remove(at_work);
    gone.shut_down().await;
    bank.deposit("a", 1).await;
    bank.caught_up(&workers[0]).await;
    assert_ne!(bank.status_when(&workers[0], |status| status.state == State::Following).await.owner, owner);
    assert_eq!(bank.total(&bank.connect().await).await, 2);
}
