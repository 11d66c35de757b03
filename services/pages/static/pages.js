// What every page does beyond plain HTML: forms that stream their answer, problems where an answer would have been, text that is jumped to.
import { linked, streamed } from "./stream.js";

for (const form of document.querySelectorAll("form[data-stream]")) streamed(form);
for (const box of document.querySelectorAll("#answer:not([hidden])")) linked(box);

// htmx leaves an error's page out; a problem's piece is shown where the answer would have been. What asks again by
// itself stays as it is and goes on asking: one refusal in between must not take its place.
document.addEventListener("htmx:beforeSwap", (event) => {
  const { xhr, requestConfig } = event.detail;
  if (requestConfig.verb === "get") return;
  if (xhr.status >= 400 && xhr.getResponseHeader("Content-Type")?.startsWith("text/html")) event.detail.shouldSwap = true;
});

// A cited passage is shown and read out, wherever in the text it is.
const passage = document.getElementById("passage");
if (passage) {
  passage.scrollIntoView({ block: "center" });
  passage.focus({ preventScroll: true });
}
