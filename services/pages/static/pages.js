// What every page does beyond plain HTML: forms that stream their answer, deletes that ask first, text that is jumped to.
import { linked, streamed } from "./stream.js";

for (const form of document.querySelectorAll("form[data-stream]")) streamed(form);
for (const box of document.querySelectorAll("#answer:not([hidden])")) linked(box);

document.addEventListener("submit", (event) => {
  const question = event.target.dataset?.confirm;
  if (question && !window.confirm(question)) event.preventDefault();
});

// htmx leaves an error's page out; a problem's piece is shown where the answer would have been.
document.addEventListener("htmx:beforeSwap", (event) => {
  const { xhr } = event.detail;
  if (xhr.status >= 400 && xhr.getResponseHeader("Content-Type")?.startsWith("text/html")) event.detail.shouldSwap = true;
});

// A cited passage is shown and read out, wherever in the text it is.
const passage = document.getElementById("passage");
if (passage) {
  passage.scrollIntoView({ block: "center" });
  passage.focus({ preventScroll: true });
}
