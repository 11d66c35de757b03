// A form that asks: its answer is written as it comes. Without this file the form is sent and answered whole.
//
// <form data-stream="/ui/ask/stream" data-answer="answer"> posts its fields there and reads server-sent events. Inside of
// the element #answer are [data-status] (what happens, read aloud), [data-text] (tokens) and [data-result] (the rendered
// end: citations and who answered, made and escaped by the server).

const OUTCOMES = { complete: "Answered", rescued: "Answered; an engine broke off on the way", partial: "The answer was cut" };

export function streamed(form) {
  let running = null;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    running?.abort();
    const mine = (running = new AbortController());
    const shown = parts(document.getElementById(form.dataset.answer));
    begin(form, shown);
    try {
      const body = new URLSearchParams(new FormData(form));
      const answer = await fetch(form.dataset.stream, { method: "POST", body, signal: mine.signal });
      if (answer.redirected && answer.url.includes("/ui/login")) return window.location.assign(answer.url);
      await read(answer, shown);
    } catch (error) {
      if (mine.signal.aborted) return;
      failed(shown, { title: "No answer", detail: "the connection to the service broke off; try again" });
    } finally {
      if (running === mine) end(form, shown);
    }
  });
}

function parts(box) {
  const part = (name) => box.querySelector(`[data-${name}]`);
  return { box, status: part("status"), text: part("text"), result: part("result") };
}

function begin(form, { box, status, text, result }) {
  box.hidden = false;
  box.setAttribute("aria-busy", "true");
  status.textContent = "Looking for passages";
  status.classList.add("busy");
  text.textContent = "";
  result.replaceChildren();
}

function end(form, { box, status }) {
  box.setAttribute("aria-busy", "false");
  status.classList.remove("busy");
}

async function read(answer, shown) {
  if (!answer.headers.get("Content-Type")?.startsWith("text/event-stream")) {
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const problem = page.querySelector(".note.bad");
    shown.status.textContent = "";
    if (problem) shown.result.replaceChildren(problem);
    else failed(shown, { title: "No answer", detail: `the service answered ${answer.status}` });
    return;
  }
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let held = "";
  let isOver = false;
  for (;;) {
    const { value, done } = await reader.read();
    if (done) break;
    const frames = (held + value).split("\n\n");
    held = frames.pop();
    for (const frame of frames) isOver = take(frame, shown) || isOver;
  }
  if (!isOver) throw new Error("the stream ended early");
}

// Whether it was the last event.
function take(frame, shown) {
  const [, name, json] = /^event: (\S+)\ndata: (.*)$/s.exec(frame) ?? [];
  const data = json ? JSON.parse(json) : {};
  const { status, text, result } = shown;
  if (name === "retrieved") status.textContent = data.hits?.length === 0 ? "No passage found" : "Answering";
  else if (name === "token") text.textContent += data.text;
  else if (name === "restart") {
    text.textContent = "";
    status.textContent = `Begun anew by ${data.provider}: ${data.reason}`;
  } else if (name === "continue") status.textContent = `Continued by ${data.provider}: ${data.reason}`;
  else if (name === "done") {
    text.textContent = data.answer;
    result.innerHTML = data.html; // from our own template, which escapes everything
    window.htmx?.process(result); // what the piece itself asks with, as the buttons under an answer
    linked(shown.box);
    if (data.error) failed(shown, data.error);
    status.textContent = OUTCOMES[data.outcome] ?? data.outcome;
    return true;
  } else if (name === "error") {
    failed(shown, data);
    return true;
  }
  return false;
}

// Each [n] of an answer becomes a link to where the list of citations leads for it: elements with data-n.
export function linked(box) {
  const text = box.querySelector("[data-text]");
  const pieces = text.textContent.split(/\[(\d+)\]/);
  text.replaceChildren();
  pieces.forEach((piece, place) => {
    const target = place % 2 && box.querySelector(`[data-result] a[data-n="${piece}"]`);
    if (!target) return text.append(place % 2 ? `[${piece}]` : piece);
    const link = document.createElement("a");
    link.href = target.href;
    link.textContent = `[${piece}]`;
    text.append(link);
  });
}

function failed({ status, result }, problem) {
  status.textContent = "";
  const note = document.createElement("div");
  note.className = "note bad";
  note.setAttribute("role", "alert");
  const said = document.createElement("p");
  const strong = document.createElement("strong");
  strong.textContent = `${problem.title}. `;
  said.append(strong, sentence(problem.detail));
  note.append(said);
  if (problem.request_id) {
    const id = document.createElement("p");
    id.className = "faint";
    id.textContent = `Request ${problem.request_id}`;
    note.append(id);
  }
  result.prepend(note);
}

function sentence(text) {
  const begun = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(begun) ? begun : `${begun}.`;
}
