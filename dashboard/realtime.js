// One subscription to the event log, over whatever the network lets through.
//
// The stream (EventSource) comes first. Long-poll takes over when no event
// arrives in time, when the stream dies silently twice, when it is refused
// twice, or where there is no EventSource. An open connection alone proves
// nothing: a buffering proxy answers with headers and keeps the rest.
//
// Every reconnect is made here, not by the browser. Left alone it never
// retries after an HTTP error, retries without backoff after any other, and
// resumes behind events the page has not drawn yet.

const HELLO_MS = 4_000
const WAIT_S = 25
const RETRY_STREAM_MS = 5 * 60_000
const LONGEST_BACKOFF_MS = 30_000
const TYPES = ['price.changed', 'product.arrived', 'clearance.started', 'clearance.ended', 'market.updated', 'announcement']
// With these the server refuses the stream; every other `bye` is routine.
const REFUSALS = ['too_many_streams', 'rate_limited', 'busy', 'forbidden']

/**
 * Follows `topics` from `cursor` on (from now, without one).
 *
 * `onEvent` gets each event once it is here, `onReset` is called when the
 * cursor was of no use and the present state must be fetched, `onState` gets
 * `connecting`, `live`, `polling`, `reconnecting` or `offline`.
 * The cursor moves only after `onEvent` has returned.
 */
export function subscribe({ topics, cursor = '', pollOnly = false, onEvent, onReset, onState }) {
  let state = ''
  let source = null
  let request = null
  let timer = 0
  let watchdog = 0
  let fails = 0 // attempts in a row that brought nothing
  let refused = 0 // streams refused, and streams that fell silent,
  let silent = 0 // since one last proved to work
  let pollingSince = 0
  let heardAt = 0
  let hiddenAt = 0
  const ended = new AbortController()

  const canStream = () => !pollOnly && 'EventSource' in window
  const set = next => { if (next !== state) onState(state = next) }
  const trouble = () => set(navigator.onLine ? 'reconnecting' : 'offline')

  function url(path, wait) {
    const query = new URLSearchParams({ topic: topics.join(',') })
    if (cursor) query.set('cursor', cursor)
    if (wait !== undefined) query.set('wait', wait)
    return `${path}?${query}`
  }

  function deliver(event) {
    // An event that cannot be drawn now cannot be drawn later either: going on
    // loses one event, stopping here would lose all that follow.
    try { onEvent(event) } catch (error) { console.error('event not drawn', event.id, error) }
    cursor = event.id
  }

  function drop() {
    clearTimeout(timer)
    clearTimeout(watchdog)
    source?.close()
    request?.abort()
    source = request = null
  }

  // Full jitter: after a restart of the server its readers must not return as one.
  function later(next, atLeast = 0) {
    const most = Math.min(LONGEST_BACKOFF_MS, 1_000 * 2 ** fails++)
    timer = setTimeout(next, atLeast + Math.random() * most)
  }

  function stream() {
    drop()
    pollingSince = 0
    // Whoever polls keeps saying so until the stream has proved itself.
    if (state === '') set('connecting')
    else if (state !== 'polling') trouble()

    const mine = source = new EventSource(url('/v1/stream'))
    let patience = HELLO_MS
    let heard = false
    const watch = () => { clearTimeout(watchdog); watchdog = setTimeout(died, patience) }
    const hear = (type, then) => mine.addEventListener(type, message => {
      if (source !== mine) return
      heard = true
      heardAt = Date.now()
      watch()
      then(message.data ? JSON.parse(message.data) : {})
    })
    const works = () => { fails = refused = silent = 0; set('live') }

    function died() {
      if (!heard || ++silent >= 2) poll()
      else stream()
    }
    mine.onerror = () => {
      if (source !== mine) return
      drop()
      trouble()
      if (!heard && ++refused >= 2) poll()
      else later(stream)
    }

    hear('hello', hello => {
      patience = 2 * (hello.heartbeat_ms || 15_000) + 5_000
      watch()
      cursor ||= hello.cursor
      set('live')
    })
    hear('heartbeat', works)
    hear('reset', reset => {
      cursor = reset.cursor
      onReset(reset.reason)
    })
    hear('bye', bye => {
      drop()
      trouble()
      const useless = REFUSALS.includes(bye.code) && ++refused >= 2
      later(useless ? poll : stream, bye.retry_after_ms)
    })
    for (const type of TYPES) hear(type, event => { works(); deliver(event) })
    watch()
  }

  async function poll() {
    drop()
    pollingSince ||= Date.now()
    // The first answer comes at once: it shows that the way is free.
    const wait = state === 'polling' ? WAIT_S : 0
    const asked = Date.now()
    const mine = request = new AbortController()
    const cut = setTimeout(() => mine.abort(), wait * 1_000 + 10_000)
    try {
      const response = await fetch(url('/v1/poll', wait), { signal: mine.signal, cache: 'no-store' })
      if (!response.ok) throw new Refused(response)
      const answer = await response.json()
      if (request !== mine) return
      fails = 0
      heardAt = Date.now()
      set('polling')
      if (answer.reset) onReset(answer.reset.reason)
      answer.events.forEach(deliver)
      cursor = answer.cursor
      if (canStream() && heardAt - pollingSince > RETRY_STREAM_MS) {
        silent = refused = 0
        return stream()
      }
      // An empty answer that came too soon must not become a busy loop.
      const hasty = wait > 0 && !answer.events.length && heardAt - asked < 1_000
      timer = setTimeout(poll, Math.max(answer.retry_after_ms || 0, hasty ? 1_000 : 0))
    } catch (error) {
      if (request !== mine) return
      trouble()
      // Two refusals and now no answer at all: the server is away, and the
      // stream is not to blame. It gets the first try when there is one again.
      const away = refused >= 2 && canStream()
      if (away) refused = 0
      later(away ? stream : poll, error.retryAfterMs)
    } finally {
      clearTimeout(cut)
    }
  }

  function reconnect() {
    if (ended.signal.aborted) return
    fails = 0
    if (pollingSince || !canStream()) poll()
    else stream()
  }

  const on = (target, type, then) => target.addEventListener(type, then, { signal: ended.signal })
  on(window, 'online', reconnect)
  on(window, 'offline', () => { drop(); set('offline') })
  on(window, 'pagehide', drop)
  on(window, 'pageshow', event => { if (event.persisted) reconnect() })
  // Phones cut the sockets of a page in the background and tell it nothing.
  on(document, 'visibilitychange', () => {
    const now = Date.now()
    if (document.hidden) hiddenAt = now
    else if (hiddenAt && now - hiddenAt > 5_000 && now - heardAt > 5_000) reconnect()
  })

  reconnect()
  return {
    reconnect,
    close() { ended.abort(); drop() },
    get cursor() { return cursor },
  }
}

/** A poll answered with an HTTP error. */
class Refused extends Error {
  constructor(response) {
    super(`HTTP ${response.status}`)
    this.retryAfterMs = (Number(response.headers.get('retry-after')) || 0) * 1_000
  }
}
