// npm eventsource, the EventSource of Node programs: eventsource.mjs URL TOPIC COUNT
import { EventSource } from 'eventsource'
import { Seen, judge, settle } from './expect.mjs'

const [url, topic, count] = process.argv.slice(2)
const seen = new Seen()
const source = new EventSource(`${url}/v1/stream?topic=${encodeURIComponent(topic)}`)
source.addEventListener('hello', () => seen.hello())
source.addEventListener('room.message', event => seen.event(event.lastEventId, event.data))
for (const type of ['reset', 'bye', 'message']) source.addEventListener(type, event => seen.odd.push(`${type} ${event.data}`))
source.addEventListener('error', event => { if (source.readyState === source.CLOSED) seen.odd.push(`closed: ${event.code} ${event.message}`) })
await settle(seen, Number(count))
source.close()
process.exit(judge('eventsource', Number(count), seen))
