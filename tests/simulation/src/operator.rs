//! What operators do.

use ees_projector::{Handle, InPlace, OperateError, SideBySide, StandbyRole, State};

use crate::world::{NAMES, World};

/// Words of what operators do, as the diary has them.
pub(crate) const ACTIONS: [&str; 9] = [
    "  pause ",
    "  resume ",
    " InPlace ",
    " SideBySide ",
    "  swap ",
    "  roll back ",
    " partitions ",
    "  discard ",
    "  verify ",
];

/// Something that an operator may do at any time. It may be refused.
pub(crate) fn act(world: &World) -> String {
    if fastrand::bool()
        && let Some(done) = act_on_standby(world)
    {
        return done;
    }
    let name = NAMES[fastrand::usize(..NAMES.len())];
    let (flag, count) = (fastrand::bool(), fastrand::u32(1..5));
    let workers = (count > 1 && flag).then_some(count);
    match fastrand::u32(..12) {
        0 => ask(world, format!("pause {name}"), move |at| async move { at.pause(name, "a try").await }),
        1 => ask(world, format!("resume {name}"), move |at| async move { at.resume(name, "a try").await }),
        2 => {
            let wanted = InPlace { workers, by_segments: fastrand::bool(), ..InPlace::default() };
            ask(world, format!("rebuild {name}: {wanted:?}"), move |at| async move {
                at.rebuild_in_place(name, wanted, "a try").await
            })
        }
        3 | 4 => {
            let wanted = SideBySide {
                verify: flag,
                no_swap: fastrand::u32(..4) == 0,
                by_segments: fastrand::u32(..4) == 0,
                workers,
                ..SideBySide::default()
            };
            ask(world, format!("rebuild {name}: {wanted:?}"), move |at| async move {
                at.rebuild_side_by_side(name, wanted, "a try").await
            })
        }
        5 => ask(world, format!("swap {name}"), move |at| async move { at.swap(name, flag, "a try").await }),
        6 => ask(world, format!("roll back {name}"), move |at| async move {
            at.rollback(name, flag, "a try").await
        }),
        7 | 8 => ask(world, format!("{count} partitions of {name}"), move |at| async move {
            at.set_partitions(name, count, "a try").await
        }),
        9 => ask(world, format!("discard the standby of {name}"), move |at| async move {
            at.discard_standby(name, "a try").await
        }),
        _ => ask(world, "verify digest".to_owned(), move |at| async move {
            let compared = at.verify("digest").await?;
            assert!(compared.is_equal(), "the rows of digest are not those of the log: {compared:?}");
            Ok(())
        }),
    }
}

/// What an operator does who has seen a standby: it goes live, for the first time or again.
fn act_on_standby(world: &World) -> Option<String> {
    let statuses = world.workers[fastrand::usize(..world.workers.len())].shown().statuses;
    let status = statuses.into_iter().find(|status| status.standby.is_some())?;
    let (name, role) = (status.name, status.standby?.plan.role);
    Some(match role {
        StandbyRole::Building => ask(world, format!("swap {name}"), move |at| async move {
            at.swap(&name, false, "it is complete").await
        }),
        StandbyRole::Following => ask(world, format!("roll back {name}"), move |at| async move {
            at.rollback(&name, false, "the one before was right").await
        }),
    })
}

/// Resumes what is paused: whatever it was, it is mended. And what was rolled back to a version that nobody runs any more goes
/// forward again.
pub(crate) fn help(world: &World) {
    for worker in &world.workers {
        for status in worker.shown().statuses {
            let name = status.name.clone();
            if status.state == State::Paused || status.partitions.iter().any(|it| it.pause.is_some()) {
                let what = format!("resume {name}");
                world
                    .diary
                    .note(ask(world, what, move |at| async move { at.resume(&name, "it is mended").await }));
            } else if status.state == State::Absent
                && let Some(standby) = status.standby
                && standby.plan.role == StandbyRole::Following
            {
                let is_paused = standby.pause.is_some();
                let what =
                    format!("{} {name}", if is_paused { "resume the standby of" } else { "roll back" });
                world.diary.note(ask(world, what, move |at| async move {
                    if is_paused {
                        at.resume(&format!("{name}__standby"), "it is mended").await
                    } else {
                        at.rollback(&name, false, "nobody runs that version any more").await
                    }
                }));
            }
        }
    }
}

fn ask<F>(world: &World, what: String, action: impl FnOnce(Handle) -> F) -> String
where
    F: Future<Output = Result<(), OperateError>> + Send + 'static,
{
    let at = fastrand::usize(..world.workers.len());
    let worker = &world.workers[at];
    let Some(handle) = worker.shown().handle else { return format!("{what}: no worker") };
    let (diary, told) = (world.diary.clone(), what.clone());
    let action = action(handle);
    worker.spawn(async move {
        let answer = action.await;
        diary.note(format!("{what}: {answer:?}"));
    });
    format!("{}: {told}", worker.name)
}
