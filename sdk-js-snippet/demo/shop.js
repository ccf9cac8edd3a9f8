// The shop's own script: it starts the tracker, asks for consent, and sends the form. Read it as an example.
(() => {
  const { url, key, port } = window.XUNJI_DEMO;
  const otherHost = location.hostname === "localhost" ? "127.0.0.1" : "localhost";

  // The one line that a team pastes, written out: calls queue up until the tracker is there.
  const xunji = (window.xunji = window.xunji || { q: [] });
  for (const call of ["track", "page", "identify", "reset", "consent", "lead", "flush"]) {
    xunji[call] = (...given) => new Promise((resolve, reject) => xunji.q.push([call, given, resolve, reject]));
  }
  xunji.o = { url, key, consent: "required", linkDomains: [otherHost] };
  const script = document.createElement("script");
  script.async = true;
  script.src = `${url}/xunji.js`;
  document.head.append(script);

  addEventListener("DOMContentLoaded", () => {
    for (const link of document.querySelectorAll("[data-other-host]")) {
      link.href = `http://${otherHost}:${port}/demo/${link.getAttribute("href")}`;
    }
    const here = document.querySelector(`header a[href="${location.pathname.split("/").pop() || "./"}"]`);
    here?.setAttribute("aria-current", "page");
    if (!key) {
      document.querySelector("main").prepend("没有演示数据源：请在空的数据目录启动。No demo source: start in an empty folder.");
    }
    ask();
    document.getElementById("drive")?.addEventListener("submit", send);
  });

  function ask() {
    if (localStorage.getItem("shop-consent")) return;
    const box = document.createElement("div");
    box.id = "ask";
    box.innerHTML = `<p>我们想记录您看了哪些页面，以便顾问更懂您。可以吗？<br /><span class="hint">May we note which
      pages you look at, so that an adviser knows what you care about?</span></p>
      <button class="go" value="yes">同意 Yes</button><button class="go quiet" value="no">不同意 No</button>`;
    box.addEventListener("click", ({ target }) => {
      if (!target.value) return;
      localStorage.setItem("shop-consent", target.value);
      window.xunji.consent(target.value === "yes");
      box.remove();
    });
    document.body.append(box);
  }

  async function send(submitted) {
    submitted.preventDefault();
    const form = Object.fromEntries(new FormData(submitted.target));
    const [wrong, done] = ["wrong", "done"].map((id) => document.getElementById(id));
    wrong.hidden = true;
    try {
      const lead = await window.xunji.lead({
        contact: { name: form.name, phone: form.phone },
        interest: { series: "远栖 S6", city: form.city },
        consent: { purposes: ["sales_contact"], text_version: "2026-01", at: new Date().toISOString() },
      });
      done.innerHTML = `<b>已收到，谢谢！</b> 顾问将在一小时内致电。<br />
        <span class="hint">Thank you: an adviser calls within the hour. 在终端查看线索 In a terminal:</span>
        <code>.venv/bin/cdp lead show ${lead}</code>`;
      done.hidden = false;
      submitted.target.hidden = true;
    } catch (error) {
      wrong.textContent = error.message;
      wrong.hidden = false;
    }
  }
})();
