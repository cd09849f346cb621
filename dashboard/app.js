// The live page: what every tea costs now, and what changed a moment ago.
//
// One stream brings the changes. Stock is told on product topics alone, one
// for each product, so the catalogue is read again every minute instead.
// Data enters the page as text, never as markup.

import { subscribe } from './realtime.js'
import { ICONS, WORDS } from './words.js'

const TOPICS = ['price/*', 'market/*', 'arrivals', 'clearance', 'announcements']
const REFRESH_MS = 60_000
const NEWS_MS = 10_000 // what is older came late: it is shown, but does not flash
const PAGE = 40 // rows shown at first, and more at a time
const FEED = 40
const TREND = 40
const BANNER_AFTER_MS = 3_000
const SEARCH_AFTER_MS = 200 // after the last key

const $ = id => document.getElementById(id)
const rows = new Map() // product id -> what its row shows
const known = new Map() // event id -> event; what was told once is not told again
let categories = []
let markets = []
let chosen = { category: '', market: '' }
let limit = PAGE
let found = null // product id -> its place among what was searched for; null for no search
let status = null
let lang = saved('teawire.lang') || (navigator.language.startsWith('zh') ? 'zh' : 'en')
let subscription = null
let seen = 0
let lastAt = 0
let openedAt = Infinity // by the server's clock, as all times here
let clock = { skew: 0, error: Infinity }
const moves = [] // when prices moved, for the rate
const delays = []

const w = () => WORDS[lang]
const now = () => Date.now() + clock.skew
const text = (el, value) => { if (el.textContent !== value) el.textContent = value }
const named = (thing, id) => thing ? (lang === 'en' && thing.name_en) || thing.name : id
const teaName = d => named(rows.get(d.product)?.product ?? d)
const marketName = id => named(markets.find(m => m.id === id), id)
const categoryName = id => named(categories.find(c => c.id === id), id)

function saved(key, value) {
  // Storage may be forbidden; then the choice lasts as long as the page.
  try { return value === undefined ? localStorage.getItem(key) : localStorage.setItem(key, value) } catch { return null }
}

async function get(path) {
  const response = await fetch(path, { cache: 'no-store' })
  if (!response.ok) throw new Error(`HTTP ${response.status}`)
  return response.json()
}

// ---- figures

const number = (n, digits = 0) => n.toLocaleString('en-US', { minimumFractionDigits: digits, maximumFractionDigits: digits })
const money = fen => `¥${number(fen / 100, 2)}`
const percent = bp => `${number(Math.abs(bp) / 100, 2)}%`

/** The unit a price is for: as the service words it in Chinese (a brick is no cake), ours in English. */
function unitOf(d) {
  const worded = lang === 'zh' && d.price_text?.split('/')[1]
  return worded || w().units[d.unit] || d.unit || ''
}

function stockOf(p) {
  if (p.stock === null) return w().none
  if (p.stock === 0) return w().soldOut
  if (p.stock_unit !== 'gram') {
    const piece = '饼砖沱'.includes(p.form || ' ') ? p.form : p.unit === 'box' ? '盒' : '个'
    return lang === 'zh' ? `${number(p.stock)} ${piece}` : `${number(p.stock)} pcs`
  }
  const jin = lang === 'zh' && p.unit !== 'kg'
  const amount = p.stock / (jin ? 500 : 1000)
  return `${amount.toLocaleString('en-US', { maximumFractionDigits: amount < 10 ? 1 : 0 })} ${jin ? '斤' : w().units.kg}`
}

function age(at) {
  const seconds = Math.max(0, Math.round((now() - at) / 1000))
  if (seconds < 2) return w().now
  const [n, unit] = seconds < 60 ? [seconds, 'second'] : seconds < 3600 ? [seconds / 60, 'minute'] : seconds < 86400 ? [seconds / 3600, 'hour'] : [seconds / 86400, 'day']
  return new Intl.RelativeTimeFormat(lang === 'zh' ? 'zh-CN' : 'en', { style: 'narrow' }).format(-Math.floor(n), unit)
}

// ---- the list

function drawRow(row) {
  const { product: p, change, el } = row
  const part = name => el.querySelector(name)
  text(part('.name'), named(p))
  part('.name').lang = named(p) === p.name ? 'zh-CN' : 'en'
  const clearing = p.clearance?.active
  part('.badge').hidden = !clearing
  if (clearing) text(part('.badge'), `${w().clearance} ${money(p.clearance.price_fen)}`)
  part('.liquor').dataset.category = p.category
  text(part('.where'), `${categoryName(p.category)} · ${marketName(p.market)}`)

  const [yuan, fen] = p.price_fen ? money(p.price_fen).split('.') : [w().unpriced, '']
  text(part('.yuan'), yuan)
  text(part('.fen'), fen && `.${fen}`)
  text(part('.unit'), p.price_fen ? ` / ${unitOf(p)}` : '')
  const way = Math.sign(change ?? 0)
  part('.change').dataset.way = way
  text(part('.move'), change === null ? w().none : `${way > 0 ? '▲' : way < 0 ? '▼' : ''} ${percent(change)}`)
  drawAge(row)
  text(part('.stock'), stockOf(p))
  part('.stock').dataset.left = p.stock === 0 ? 'none' : 'some'
  drawTrend(part('svg'), row.prices)
}

function drawAge({ el, changedAt }) {
  text(el.querySelector('.age'), changedAt ? age(changedAt) : '')
}

/** Prices hold until the next one: a staircase, not a slope. */
function drawTrend(svg, prices) {
  const low = Math.min(...prices), high = Math.max(...prices), step = 90 / Math.max(1, prices.length - 1)
  const y = price => (high === low ? 14 : 25 - 22 * (price - low) / (high - low)).toFixed(1)
  const last = prices.at(-1)
  let d = ''
  prices.forEach((price, i) => { d += i ? `H${(2 + i * step).toFixed(1)}V${y(price)}` : `M2 ${y(price)}` })
  svg.toggleAttribute('data-flat', prices.length < 2)
  if (prices.length < 2) return svg.setAttribute('aria-label', w().none)
  svg.dataset.way = Math.sign(last - prices[0])
  svg.querySelector('path').setAttribute('d', d)
  svg.querySelector('circle').setAttribute('cx', 92)
  svg.querySelector('circle').setAttribute('cy', y(last))
  svg.setAttribute('aria-label', w().trend(money(prices[0]), money(last)))
}

function flash(el, way) {
  el.classList.remove('rose', 'fell', 'came')
  void el.offsetWidth // begins the animation anew, if one is running
  el.classList.add(way > 0 ? 'rose' : way < 0 ? 'fell' : 'came')
}

/** Takes a product in, as the catalogue tells it; a row knows its own past. */
function keep(product, rank) {
  let row = rows.get(product.id)
  if (!row) {
    const el = $('row').content.firstElementChild.cloneNode(true)
    el.dataset.id = product.id
    row = { rank, prices: product.price_fen ? [product.price_fen] : [], change: null, changedAt: 0, touched: 0, el }
    rows.set(product.id, row)
  }
  row.product = product
  drawRow(row)
  return row
}

const fits = (p, { category, market }) =>
  (!category || p.category === category || p.category.startsWith(`${category}.`)) && (!market || p.market === market)

/** Shows the rows that fit. Rows never move on their own: nobody likes to aim at running targets. */
function layOut() {
  const kept = [...rows.values()].filter(row => !found || found.has(row.product.id))
  const place = row => found ? found.get(row.product.id) : row.rank
  const fitting = kept.filter(row => fits(row.product, chosen)).sort((a, b) => place(a) - place(b))
  $('rows').replaceChildren(...fitting.slice(0, limit).map(row => row.el))
  const rest = fitting.length - limit
  $('more').hidden = rest <= 0
  text($('more'), w().more(Math.min(rest, PAGE)))
  text($('count'), rows.size ? w().shown(fitting.length, rows.size) : '')
  $('table').hidden = !fitting.length
  $('nothing').hidden = !rows.size || fitting.length > 0
  $('empty').hidden = rows.size > 0 || !$('loading').hidden
  const products = kept.map(row => row.product)
  drawCategories(products)
  drawMarkets(products)
}

function drawCategories(products) {
  const box = $('categories')
  const used = categories.filter(({ id }) => products.some(p => fits(p, { category: id })))
  const focused = box.contains(document.activeElement) ? document.activeElement.dataset.id : null
  box.hidden = !used.length
  box.replaceChildren(...[{ id: '', name: w().all }, ...used].map(thing => {
    const chip = document.createElement('button')
    const count = document.createElement('span')
    chip.type = 'button'
    chip.className = 'chip'
    chip.dataset.id = thing.id
    chip.setAttribute('aria-pressed', chosen.category === thing.id)
    count.textContent = products.filter(p => fits(p, { ...chosen, category: thing.id })).length
    chip.append(named(thing), ' ', count)
    chip.onclick = () => { chosen.category = chosen.category === thing.id ? '' : thing.id; limit = PAGE; layOut() }
    return chip
  }))
  if (focused !== null) box.querySelector(`[data-id="${CSS.escape(focused)}"]`)?.focus()
}

/** The markets, the largest first. Drawn anew only if they read differently: an open list would close. */
function drawMarkets(products) {
  const size = id => products.filter(p => fits(p, { market: id })).length
  const used = markets.filter(({ id }) => size(id)).sort((a, b) => size(b.id) - size(a.id))
  const options = [{ id: '', name: w().everywhere }, ...used].map(market => {
    const count = products.filter(p => fits(p, { ...chosen, market: market.id })).length
    return new Option(`${named(market)} (${count})`, market.id)
  })
  const box = $('markets')
  box.hidden = used.length < 2
  const read = list => [...list].map(option => option.text).join()
  if (read(box.options) !== read(options)) box.replaceChildren(...options)
  box.value = chosen.market
}

// ---- what happens

/** Changes the row an event speaks of; null if the event is of no row here. */
function apply({ type, data, time }) {
  if (type === 'product.arrived') {
    const row = keep(data, Math.min(0, ...[...rows.values()].map(row => row.rank)) - 1)
    row.touched = Date.now()
    layOut()
    return row
  }
  const row = rows.get(data.product)
  if (!row) return null
  row.touched = Date.now()
  if (type === 'price.changed') {
    Object.assign(row.product, { price: data.price, price_fen: data.price_fen, price_text: data.price_text, unit: data.unit })
    remember(row, { data, time })
  } else if (type === 'clearance.started') {
    row.product.clearance = { price: data.price, price_fen: data.price_fen, active: true }
  } else if (type === 'clearance.ended') {
    row.product.clearance = null
  }
  drawRow(row)
  return row
}

function remember(row, { data, time }) {
  if (row.prices.at(-1) !== data.price_fen) row.prices.push(data.price_fen)
  // The catalogue was quicker than the event: what was before is only in the event.
  else if (row.prices.length === 1 && data.from_fen) row.prices.unshift(data.from_fen)
  row.prices.splice(0, row.prices.length - TREND)
  row.change = data.change_bp
  row.changedAt = Date.parse(time)
}

/** One line of the feed: its icon, what it is about, what happened. */
function worded({ type, data }) {
  switch (type) {
    case 'price.changed': {
      const way = Math.sign(data.change_bp ?? 0)
      const moved = data.change_bp === null ? w().first : `${way > 0 ? '▲' : way < 0 ? '▼' : ''}${percent(data.change_bp)}`
      return [way > 0 ? 'up' : way < 0 ? 'down' : 'first', teaName(data), `${money(data.price_fen)}/${unitOf(data)} ${moved} · ${marketName(data.market).split(',')[0]}`, way]
    }
    case 'product.arrived': return [type, named(data), [w().arrived, data.price_fen && `${money(data.price_fen)} / ${unitOf(data)}`, marketName(data.market)].filter(Boolean).join(' · ')]
    case 'clearance.started': return [type, teaName(data), `${w().clearance} ${money(data.price_fen)}${data.was_fen ? ` ← ${money(data.was_fen)}` : ''}${data.ends_at ? ` · ${w().until} ${clockTime(data.ends_at, false)}` : ''}`]
    case 'clearance.ended': return [type, teaName(data), `${w().ended} · ${w()[data.reason] ?? data.reason}`]
    case 'market.updated': {
      // Titles often hold the figures already; nobody wants to read them twice.
      const figures = /\d/.test(data.title) ? [] : [data.average_fen && `${w().average} ${money(data.average_fen)}/kg`, data.volume_kg && `${w().volume} ${number(data.volume_kg)} kg`]
      return [type, marketName(data.market), [data.title, ...figures].filter(Boolean).join(' · ')]
    }
    default: { // an announcement is whatever the operator sent
      const title = typeof data === 'string' ? data : data.title ?? data.text ?? data.message ?? data.body ?? JSON.stringify(data)
      return ['announcement', String(title).slice(0, 200), data.title && data.body ? String(data.body).slice(0, 200) : '']
    }
  }
}

function clockTime(time, seconds = true) {
  const date = new Date(time)
  const today = date.toDateString() === new Date(now()).toDateString()
  const format = today || seconds ? { hour: '2-digit', minute: '2-digit' } : { month: 'numeric', day: 'numeric' }
  return date.toLocaleString(lang === 'zh' ? 'zh-CN' : 'en-GB', seconds ? { ...format, second: '2-digit' } : format)
}

function tell(event, fresh) {
  const [icon, what, detail, way = 0] = worded(event)
  const el = $('item').content.firstElementChild.cloneNode(true)
  el.dataset.type = event.type
  el.dataset.way = way
  el.querySelector('path').setAttribute('d', ICONS[icon])
  el.querySelector('.what').textContent = what
  el.querySelector('.detail').textContent = detail
  const time = el.querySelector('time')
  time.dateTime = event.time
  time.textContent = clockTime(event.time)
  time.title = new Date(event.time).toLocaleString()
  if (fresh) el.classList.add('came')
  $('feed').prepend(el)
  while ($('feed').children.length > FEED) $('feed').lastElementChild.remove()
  $('quiet').hidden = true
  // Prices would talk without end; a word from the operator is for everybody.
  if (fresh && event.type === 'announcement') text($('spoken'), `${what} ${detail}`)
}

function note(event) {
  known.set(event.id, event)
  if (known.size > 1_000) known.delete(known.keys().next().value)
  if (event.type === 'price.changed') moves.push(Date.parse(event.time))
  lastAt = Math.max(lastAt, Date.parse(event.time))
}

function onEvent(event) {
  if (known.has(event.id)) return
  note(event)
  seen++
  const at = Date.parse(event.time)
  const fresh = at > openedAt && now() - at < NEWS_MS
  const row = apply(event)
  tell(event, fresh)
  if (fresh) {
    delays.push(Math.max(0, now() - at))
    if (delays.length > 20) delays.shift()
    if (row && event.type === 'price.changed') flash(row.el.querySelector('.amount'), event.data.change_bp ?? 0)
    else if (row) flash(row.el.querySelector('.tea'), 0)
  }
  drawFigures()
}

function onState(state) {
  $('pill').dataset.state = state
  text($('pill-word'), w()[state])
  const up = state === 'live' || state === 'polling'
  clearTimeout(onState.timer)
  if (up) {
    $('banner').hidden = true
    if (!$('failed').hidden) refresh()
  } else if (state !== 'connecting') {
    onState.timer = setTimeout(() => { $('banner').hidden = false }, BANNER_AFTER_MS)
  }
}

function drawFigures() {
  const time = now()
  while (moves.length && time - moves[0] > 60_000) moves.shift()
  const middle = [...delays].sort((a, b) => a - b)[delays.length >> 1]
  text($('seen'), number(seen))
  text($('rate'), number(moves.length))
  text($('last'), lastAt ? age(lastAt) : w().none)
  // Two clocks are compared: finer than half a round trip nobody can tell.
  text($('delay'), middle === undefined ? w().none : `≈ ${number(Math.max(1, Math.round(middle)))} ms`)
}

// ---- reading the present

/** Asks for the state of the service, and by the way what time it is there. */
async function readStatus() {
  const asked = Date.now()
  status = await get('/v1/status')
  const error = (Date.now() - asked) / 2
  if (error <= clock.error) clock = { skew: Date.parse(status.time) - asked - error, error }
  text($('about'), w().about(status))
}

/** Reads the whole catalogue; a row that changed meanwhile knows better. */
async function refresh() {
  clearTimeout(againIn.timer)
  const asked = Date.now()
  try {
    const products = []
    let after = ''
    do {
      const page = await get(`/v1/products?status=listed&limit=100${after && `&after=${encodeURIComponent(after)}`}`)
      products.push(...page.products)
      after = page.next
    } while (after && products.length < 1_000)
    const first = !rows.size
    if (first) products.sort((a, b) => (b.price_at ?? '').localeCompare(a.price_at ?? ''))
    const listed = new Set(products.map(p => p.id))
    for (const [id, row] of rows) if (!listed.has(id) && !found?.has(id) && row.touched < asked) rows.delete(id)
    products.forEach(p => {
      const row = rows.get(p.id)
      if (!row || row.touched < asked) keep(p, row ? row.rank : first ? rows.size : Infinity)
    })
    $('failed').hidden = $('loading').hidden = true
    againIn(REFRESH_MS)
  } catch (error) {
    $('loading').hidden = true
    $('failed').hidden = rows.size > 0
    text($('failed'), w().failed(error.message))
    againIn(5_000)
  }
  layOut()
  if (!$('failed').hidden) $('empty').hidden = true
}

/** Shows what is found by the words in the box, best first; all if there are none. */
async function find() {
  const q = $('q').value.trim()
  const turn = find.turn = (find.turn ?? 0) + 1
  if (!q) {
    found = null
    limit = PAGE
    return layOut()
  }
  const asked = Date.now()
  try {
    const { products } = await get(`/v1/products?status=listed&limit=500&q=${encodeURIComponent(q)}`)
    // Whoever types on has asked again meanwhile.
    if (turn !== find.turn) return
    for (const p of products) {
      const row = rows.get(p.id)
      if (!row || row.touched < asked) keep(p, row ? row.rank : Infinity)
    }
    found = new Map(products.map((p, at) => [p.id, at]))
  } catch (error) {
    if (turn !== find.turn) return
    // Nothing to look for in it (422) finds nothing.
    found = new Map()
  }
  limit = PAGE
  layOut()
}

function againIn(ms) {
  clearTimeout(againIn.timer)
  againIn.timer = setTimeout(again, ms)
}

async function again() {
  if (document.hidden) return againIn(REFRESH_MS)
  await Promise.allSettled([readStatus(), categories.length ? null : readNames()])
  await refresh()
}

async function readNames() {
  const [c, m] = await Promise.all([get('/v1/categories'), get('/v1/markets')])
  categories = c.categories
  markets = m.markets
}

/** What happened before the page was opened, oldest first, so that it does not begin blank. */
async function readHistory() {
  const { events } = await get(`/v1/events?topic=${encodeURIComponent(TOPICS.join(','))}&limit=200`)
  return events.reverse()
}

function recall(events) {
  const past = new Map()
  for (const event of events) {
    note(event)
    const { product, from_fen, price_fen } = event.data
    const row = event.type === 'price.changed' && rows.get(product)
    if (!row) continue
    if (!past.has(row)) past.set(row, from_fen ? [from_fen] : [])
    past.get(row).push(price_fen)
    row.change = event.data.change_bp
    row.changedAt = Date.parse(event.time)
  }
  for (const [row, prices] of past) {
    if (row.product.price_fen !== prices.at(-1)) prices.push(row.product.price_fen)
    row.prices = prices.slice(-TREND)
    drawRow(row)
  }
  events.slice(-FEED).forEach(event => tell(event, false))
}

// ---- language, curl, start

function speak(next) {
  lang = next
  document.documentElement.lang = lang === 'zh' ? 'zh-CN' : 'en'
  for (const el of document.querySelectorAll('[data-en]')) {
    el.dataset.zh ??= el.textContent
    el.textContent = el.dataset[lang]
  }
  for (const el of document.querySelectorAll('[data-label-en]')) {
    el.dataset.labelZh ??= el.getAttribute('aria-label')
    el.setAttribute('aria-label', lang === 'zh' ? el.dataset.labelZh : el.dataset.labelEn)
  }
  $('q').dataset.hintZh ??= $('q').placeholder
  $('q').placeholder = lang === 'zh' ? $('q').dataset.hintZh : $('q').dataset.hintEn
  text($('lang'), w().other)
  $('lang').lang = lang === 'zh' ? 'en' : 'zh-CN'
  text($('pill-word'), w()[$('pill').dataset.state])
  if (status) text($('about'), w().about(status))
  rows.forEach(drawRow)
  $('feed').replaceChildren()
  ;[...known.values()].slice(-FEED).forEach(event => tell(event, false))
  layOut()
  drawFigures()
  drawCurl()
}

function drawCurl() {
  const base = location.origin
  const cursor = subscription?.cursor || status?.head || ''
  text($('curl-stream'), `curl -N "${base}/v1/stream?topic=price/*"`)
  if (!$('curl-poll').textContent.includes('cursor=')) text($('curl-poll'), `curl "${base}/v1/poll?topic=price/*${cursor && `&cursor=${cursor}`}&wait=25"`)
  text($('curl-events'), `curl "${base}/v1/events?topic=price/*&limit=5"`)
  text($('first'), `curl ${base}/v1/products -H "Authorization: Bearer $KEY" -d id=longjing --data-urlencode name=西湖龙井 -d category=green -d market=${markets[0]?.id ?? 'fangcun'} -d unit=jin -d price=128.00`)
}

async function copy(button) {
  const code = $(button.dataset.copy)
  let done = false
  // Browsers lend the clipboard to safe origins only; elsewhere the text is selected for the reader's own keys.
  try { await navigator.clipboard.writeText(code.textContent); done = true } catch { getSelection().selectAllChildren(code) }
  text(button, done ? w().copied : w().pressed)
  setTimeout(() => text(button, button.dataset[lang]), 1_500)
}

async function start() {
  speak(lang)
  $('lang').onclick = () => { speak(lang === 'zh' ? 'en' : 'zh'); saved('teawire.lang', lang) }
  $('markets').onchange = () => { chosen.market = $('markets').value; limit = PAGE; layOut() }
  $('more').onclick = () => { limit += PAGE; layOut() }
  $('clear').onclick = () => { chosen = { category: '', market: '' }; $('q').value = ''; find() }
  $('find').onsubmit = event => { event.preventDefault(); find() }
  $('q').oninput = () => { clearTimeout(find.timer); find.timer = setTimeout(find, SEARCH_AFTER_MS) }
  $('reconnect').onclick = () => subscription?.reconnect()
  for (const button of document.querySelectorAll('[data-copy]')) button.onclick = () => copy(button)
  setInterval(() => {
    drawFigures()
    for (const el of $('rows').children) drawAge(rows.get(el.dataset.id))
  }, 1_000)

  // First where the log stands, then its past, then the present: whatever
  // happens in between comes once more through the stream, or is in the present.
  await Promise.allSettled([readStatus(), readNames()])
  openedAt = now()
  drawCurl()
  const history = await readHistory().catch(() => [])
  await refresh()
  recall(history)
  subscription = subscribe({
    topics: TOPICS,
    cursor: status?.head,
    pollOnly: new URLSearchParams(location.search).get('transport') === 'poll',
    onEvent,
    onReset: refresh,
    onState,
  })
  drawFigures()
  // A quiet moment tells the time better than the rush of the start, and we are counted by now.
  setTimeout(() => readStatus().catch(() => {}), 2_000)
}

start()
