// The live page in a real browser, against a running teawire whose prices
// move (`teawire demo`). The one thing a newcomer sees must not be broken.
//
//   npm install && TEAWIRE_URL=http://127.0.0.1:8080 node drive.mjs [chromium]
//
// SHOT=page.png keeps a picture. TAP on stdout; leaves with 1 if anything failed.

import { chromium } from 'playwright-core'

const url = process.env.TEAWIRE_URL || 'http://127.0.0.1:8080'
const executablePath = process.argv[2] || process.env.CHROMIUM || '/usr/bin/chromium'
const MOVES_WITHIN_MS = 10_000
const BACK_WITHIN_MS = 15_000

let passed = 0
let failed = 0
async function check(promise, body) {
  const n = passed + failed + 1
  try {
    await body()
    passed++
    console.log(`ok ${n} - ${promise}`)
  } catch (error) {
    failed++
    console.log(`not ok ${n} - ${promise}\n  # ${String(error.message).split('\n').join('\n  # ')}`)
  }
}
function expect(truth, otherwise) {
  if (!truth) throw new Error(otherwise)
}

/** A fresh browser profile on the page, and what the console complained of. */
async function open(browser, path, options) {
  const context = await browser.newContext({ locale: 'zh-CN', viewport: { width: 1280, height: 800 }, ...options })
  const page = await context.newPage()
  const complaints = []
  const requests = []
  page.on('console', message => { if (['error', 'warning'].includes(message.type())) complaints.push(message.text()) })
  page.on('pageerror', error => complaints.push(String(error)))
  page.on('request', request => requests.push(request.url()))
  await page.addInitScript(() => {
    addEventListener('securitypolicyviolation', event => console.error(`CSP: ${event.violatedDirective} ${event.blockedURI}`))
  })
  await page.goto(new URL(path, url).href)
  return { context, page, complaints, requests }
}

const says = (page, state, timeout) =>
  page.waitForFunction(state => document.getElementById('pill').dataset.state === state, state, { timeout })
const seen = page => page.evaluate(() => Number(document.getElementById('seen').textContent.replaceAll(',', '')))

/** Waits until a price in the list is another than now. */
async function aPriceMoves(page) {
  // The list is shown whole: the price that moves need not be on the first screen.
  while (await page.isVisible('#more')) await page.click('#more')
  await page.waitForSelector('#rows tr')
  const read = () => Object.fromEntries([...document.querySelectorAll('#rows tr')].map(row => [row.dataset.id, row.querySelector('.amount').textContent]))
  const before = await page.evaluate(read)
  await page.waitForFunction(
    before => [...document.querySelectorAll('#rows tr')].some(row => before[row.dataset.id] && before[row.dataset.id] !== row.querySelector('.amount').textContent),
    before,
    { timeout: MOVES_WITHIN_MS },
  )
}

const browser = await chromium.launch({
  executablePath,
  args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
})
try {
  const live = await open(browser, '/')
  const { page } = live

  await check('the page says that it is live', async () => {
    await says(page, 'live', 10_000)
    expect(await page.textContent('#pill-word') === '实时', 'the pill has another word')
  })
  await check('teas are listed with a name, a market and a price', async () => {
    await page.waitForSelector('#rows tr', { timeout: 5_000 })
    const first = await page.innerText('#rows tr')
    expect(/¥[\d,]+\.\d\d/.test(first) && first.includes('·'), `the first row reads: ${first}`)
  })
  await check('a price moves while one looks', () => aPriceMoves(page))
  await check('the feed tells of it, newest first', async () => {
    const times = await page.$$eval('#feed time', all => all.map(time => time.dateTime))
    expect(times.length > 0, 'the feed is empty')
    expect([...times].sort().reverse().join() === times.join(), `out of order: ${times}`)
  })
  await check('a filter leaves only what fits, and counts it', async () => {
    const chip = page.locator('#categories .chip').nth(1)
    const count = Number(await chip.locator('span').textContent())
    await chip.click()
    expect((await page.textContent('#count')).startsWith(`${count} `), `the chip counts ${count}, the list ${await page.textContent('#count')}`)
    await page.locator('#categories .chip').first().click()
  })
  await check('a tea is found by the initials of its name', async () => {
    const all = await page.textContent('#count')
    const name = await page.textContent('#rows tr .name')
    await page.fill('#q', name)
    await page.waitForFunction(all => document.getElementById('count').textContent !== all, all)
    expect((await page.textContent('#rows tr .name')) === name, `looked for ${name}, found ${await page.textContent('#rows tr .name')}`)
    await page.fill('#q', 'lj')
    await page.waitForFunction(() => [...document.querySelectorAll('#rows tr .name')].every(name => name.textContent.includes('龙井')))
    if (process.env.SHOT) await page.screenshot({ path: process.env.SHOT.replace('.png', '-search.png') })
    await page.fill('#q', '')
    await page.waitForFunction(all => document.getElementById('count').textContent === all, all)
  })
  await check('the language switch changes the words and is remembered', async () => {
    await page.click('#lang')
    expect(await page.textContent('#pill-word') === 'Live', 'the pill speaks no English')
    await page.reload()
    expect(await page.getAttribute('html', 'lang') === 'en', 'forgotten after a reload')
    await page.click('#lang')
    await says(page, 'live', 10_000)
  })
  await check('the curl lines name this service', async () => {
    for (const line of await page.$$eval('.curl code', all => all.map(code => code.textContent))) {
      const [, target] = /"([^"]+)"/.exec(line) ?? []
      expect(target?.startsWith(new URL(url).origin), `it reads: ${line}`)
      if (!target.includes('/stream')) expect((await fetch(target)).ok, `refused: ${target}`)
    }
  })
  if (process.env.SHOT) await page.screenshot({ path: process.env.SHOT })
  await check('nothing came from another host, nothing complained', async () => {
    const foreign = live.requests.filter(request => new URL(request).origin !== new URL(url).origin)
    expect(!foreign.length, `asked elsewhere: ${foreign}`)
    expect(!live.complaints.length, live.complaints.join('\n'))
  })
  await check('offline it says so, and online again it catches up', async () => {
    await live.context.setOffline(true)
    await says(page, 'offline', BACK_WITHIN_MS)
    const before = await seen(page)
    await page.waitForTimeout(2_000)
    await live.context.setOffline(false)
    await says(page, 'live', BACK_WITHIN_MS)
    await page.waitForFunction(before => Number(document.getElementById('seen').textContent.replaceAll(',', '')) > before, before, { timeout: MOVES_WITHIN_MS })
    await aPriceMoves(page)
    const others = live.complaints.filter(text => !/ERR_(INTERNET_DISCONNECTED|NETWORK_CHANGED)/.test(text))
    expect(!others.length, others.join('\n'))
  })
  await live.context.close()

  const poll = await open(browser, '/?transport=poll', { locale: 'en-US', colorScheme: 'dark' })
  await check('without the stream it polls, and prices move as well', async () => {
    await says(poll.page, 'polling', 10_000)
    await aPriceMoves(poll.page)
    expect(!poll.requests.some(request => request.includes('/v1/stream')), 'it opened a stream')
    expect(!poll.complaints.length, poll.complaints.join('\n'))
  })
  await poll.context.close()

  const phone = await open(browser, '/', { viewport: { width: 360, height: 740 } })
  await check('on a narrow phone nothing sticks out', async () => {
    await says(phone.page, 'live', 10_000)
    await phone.page.waitForSelector('#rows tr')
    const excess = await phone.page.evaluate(() => document.documentElement.scrollWidth - innerWidth)
    expect(excess <= 0, `${excess} px too wide`)
  })
  await phone.context.close()
} finally {
  await browser.close()
}
console.log(`1..${passed + failed}\n# ${passed} passed, ${failed} failed`)
process.exitCode = failed ? 1 : 0
