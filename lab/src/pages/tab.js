// Lets the lab work this page: it asks for the next thing to do, does it, and says what came of it.
const LAB = '{{control}}';
const here = new URL(document.currentScript.src).searchParams;
const visit = { run: here.get('run'), visit: Number(here.get('visit')), tab: here.get('tab') };
// Taken now, before anybody patches it.
const send = window.fetch.bind(window);
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
/** Waits until that holds, or for five seconds. */
async function until(holds) {
  for (let waited = 0; !holds() && waited < 5000; waited += 20) await sleep(20);
}
const LEFT = Symbol('the page is being left');

/** Leaves this page; if that comes to nothing, the tab goes to where the lab waits for it. */
function leave(order, go) {
  const query = new URLSearchParams({ ...visit, visit: order.visit });
  setTimeout(() => location.replace(`${LAB}/lab/tab?${query}`), 5000);
  go();
  return LEFT;
}

const reply = async (response) => ({ status: response.status, body: (await response.text()).slice(0, 4000) });

async function workFor(page, acts) {
  let answer = null;
  for (let failures = 0; failures < 40; ) {
    let order;
    try {
      const said = { ...visit, page, href: location.origin + location.pathname, answer };
      const response = await send(`${LAB}/lab/tab`, { method: 'POST', credentials: 'omit', body: JSON.stringify(said) });
      order = await response.json();
      failures = 0;
    } catch {
      failures += 1;
      await sleep(250);
      continue;
    }
    answer = null;
    if (order.do === 'wait') continue;
    if (order.do === 'stop') return;
    if (order.now) document.title = order.now;
    try {
      const value = await acts[order.do](order);
      if (value === LEFT) return;
      answer = { id: order.id, value: value ?? null };
    } catch (error) {
      answer = { id: order.id, error: `${error.name}: ${error.message}` };
    }
  }
}

const moves = {
  go: (order) => leave(order, () => location.assign(order.url)),
  reload: (order) => leave(order, () => location.reload()),
};
