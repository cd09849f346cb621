// A browser's own EventSource, in the page that the server serves at `/`: chromium.mjs URL TOPIC COUNT
import { chromium } from 'playwright-core'
import { Seen, judge, settle } from './expect.mjs'

const [url, topic, count] = process.argv.slice(2)
const seen = new Seen()
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  // Nothing but the page may use the network.
  args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--no-proxy-server', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
})
const page = await browser.newPage({ locale: 'zh-CN', ignoreHTTPSErrors: true })
page.on('pageerror', error => console.log(`note  the page says: ${error.message}`))
const answer = await page.goto(`${url}/`, { waitUntil: 'domcontentloaded' })
if (answer.status() !== 200) seen.odd.push(`the page is answered ${answer.status()}`)

await page.exposeFunction('tell', (type, id, data) => {
  if (type === 'hello') seen.hello()
  else if (type === 'room.message') seen.event(id, data)
  else seen.odd.push(`${type} ${data}`)
})
await page.evaluate(path => {
  // One call at a time, so that the order told is the order received.
  let last = Promise.resolve()
  const tell = (...args) => { last = last.then(() => window.tell(...args)) }
  const source = (window.source = new EventSource(path))
  for (const type of ['hello', 'room.message', 'reset', 'bye', 'message'])
    source.addEventListener(type, event => tell(type, event.lastEventId, event.data))
  source.onerror = () => { if (source.readyState === EventSource.CLOSED) tell('closed', '', 'the browser gave up') }
}, `/v1/stream?topic=${encodeURIComponent(topic)}`)
await settle(seen, Number(count))
await browser.close()
process.exit(judge('chromium', Number(count), seen))
