// Small helpers; every page works without them, apart from the parts that update by themselves.
"use strict";

// The menu of small screens.
const button = document.querySelector(".menu-button");
const menu = document.getElementById("menu");
if (button && menu) {
  button.hidden = false;
  document.body.classList.add("menu-folds");
  button.addEventListener("click", () => {
    const open = button.getAttribute("aria-expanded") !== "true";
    button.setAttribute("aria-expanded", String(open));
    menu.classList.toggle("open", open);
  });
}

// A second click on a button that books or changes something does nothing. The server keeps to this by itself, too.
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.method !== "post" || form.target === "_blank") return;
  const question = form.dataset.question;
  if (question && !window.confirm(question)) {
    event.preventDefault();
    return;
  }
  if (form.dataset.sent) {
    event.preventDefault();
    return;
  }
  form.dataset.sent = "yes";
  form.classList.add("sending");
});
window.addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form[data-sent]")) {
    delete form.dataset.sent;
    form.classList.remove("sending");
  }
});

// A form that brings a large file shows how far it is.
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (event.defaultPrevented || !("progress" in form.dataset)) return;
  event.preventDefault();
  const bar = form.querySelector("progress");
  const request = new XMLHttpRequest();
  request.upload.addEventListener("progress", (sent) => {
    if (sent.lengthComputable) bar.value = (100 * sent.loaded) / sent.total;
  });
  request.addEventListener("load", () => {
    if (request.status < 400) {
      window.location.assign(request.responseURL);
      return;
    }
    const answer = new DOMParser().parseFromString(request.responseText, "text/html");
    document.querySelector("main").replaceWith(answer.querySelector("main"));
    window.scrollTo(0, 0);
  });
  request.addEventListener("error", () => {
    bar.hidden = true;
    delete form.dataset.sent;
    form.classList.remove("sending");
    window.alert("The connection broke off, or the file is too large. Nothing was changed.");
  });
  bar.hidden = false;
  request.open("POST", form.action);
  request.send(new FormData(form));
});

// A live part that cannot be fetched says so, instead of showing old figures as if they were new.
const stale = (isStale) => document.body.classList.toggle("stale", isStale);
document.addEventListener("htmx:sendError", () => stale(true));
document.addEventListener("htmx:timeout", () => stale(true));
document.addEventListener("htmx:responseError", () => stale(true));
document.addEventListener("htmx:afterSwap", () => stale(false));

// Copy buttons beside what is shown once.
for (const copy of document.querySelectorAll("button[data-copy]")) {
  if (!navigator.clipboard) continue;
  copy.hidden = false;
  copy.addEventListener("click", async () => {
    await navigator.clipboard.writeText(document.getElementById(copy.dataset.copy).textContent.trim());
    copy.textContent = copy.dataset.done;
  });
}

// The page that a print was asked for opens the browser's print window by itself.
for (const print of document.querySelectorAll("button[data-print]")) {
  print.hidden = false;
  print.addEventListener("click", () => window.print());
  window.addEventListener("load", () => window.print());
}
