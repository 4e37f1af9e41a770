// What all screens do: look again and again, say what happened, take the focus once.

const LOOK_MILLISECONDS = 2000;
const NOTICE_MILLISECONDS = 10_000;

let isNew = true;
let forgetting;

/** Says what was done, after which an earlier complaint is out of date. Screen readers speak it. */
export function tell(sentence) {
  complain("");
  const place = document.getElementById("notice");
  place.textContent = sentence;
  clearTimeout(forgetting);
  forgetting = setTimeout(() => place.replaceChildren(), NOTICE_MILLISECONDS);
}

/** Says what is wrong, until another screen is shown or it is not wrong any more. */
export function complain(sentence) {
  const place = document.getElementById("trouble");
  if (place.textContent !== sentence) place.textContent = sentence;
}

/** The next screen that is drawn takes the focus. */
export function expect() {
  isNew = true;
}

/** A screen was drawn: the focus is at its beginning, once, so that the keyboard and screen readers go on there. */
export function arrived() {
  if (!isNew) return;
  isNew = false;
  document.querySelector("main h1")?.focus({ preventScroll: true });
}

/** Looks until the signal ends it, and at once when `again` is called. Waits while nobody sees the tab. */
export async function poll(signal, look) {
  let wake = () => {};
  let isAsked = false;
  let isTroubled = false;
  const again = () => {
    isAsked = true;
    wake();
  };
  while (!signal.aborted) {
    isAsked = false;
    try {
      await look(again);
      if (signal.aborted) return;
      // What an operation complained of stays.
      if (isTroubled) complain("");
      isTroubled = false;
      arrived();
    } catch (error) {
      if (signal.aborted) return;
      isTroubled = true;
      complain(error.message);
    }
    if (!isAsked) {
      await new Promise((resolve) => {
        wake = resolve;
        setTimeout(resolve, LOOK_MILLISECONDS);
      });
    }
    while (document.hidden && !signal.aborted) {
      await new Promise((resolve) => document.addEventListener("visibilitychange", resolve, { once: true }));
    }
  }
}
