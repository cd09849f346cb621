// What every reader here must have seen, and the lines that say whether it did.

/** The text of event `n`: Chinese, a yen sign and a character outside the basic plane. */
export const text = n => `大红袍 ¥128.00 🍵 ${n}`

/** What a reader was given: its events in the order they came, its hellos, and whatever should not have come. */
export class Seen {
  events = []
  hellos = 0
  odd = []

  hello() {
    // run.sh waits for this line before it publishes.
    if (++this.hellos === 1) console.log('ready')
  }

  event(id, data) {
    this.events.push({ id, data })
  }
}

/** Prints a line a check and the sum; the exit code tells whether all held. */
export function judge(name, count, seen) {
  const bodies = seen.events.map(({ data }) => { try { return JSON.parse(data) } catch { return {} } })
  const numbers = bodies.map(body => body.data?.n)
  const wanted = Array.from({ length: count }, (_, i) => i + 1)
  const checks = [
    ['every event came, and nothing else', numbers.length === count && wanted.every(n => numbers.includes(n)), `${numbers.length} of ${count}: ${numbers}`],
    ['in order, none twice', numbers.every((n, i) => i === 0 || n > numbers[i - 1]), `${numbers}`],
    ['the text is intact', bodies.length > 0 && bodies.every(body => body.data?.text === text(body.data?.n)), JSON.stringify(bodies.find(body => body.data?.text !== text(body.data?.n)))],
    ['the id of the frame is the id of the event', bodies.length > 0 && bodies.every((body, i) => body.id && body.id === seen.events[i].id), JSON.stringify(seen.events.find(({ id }, i) => id !== bodies[i].id))],
    ['it came back by itself after both cuts', seen.hellos >= 3, `${seen.hellos} hellos`],
    ['no reset, no bye', seen.odd.length === 0, seen.odd.join(' ')],
  ]
  for (const [what, holds, detail] of checks) console.log(holds ? `ok    ${what}` : `FAIL  ${what} (${detail})`)
  const passed = checks.filter(([, holds]) => holds).length
  console.log(`${name}: ${passed} passed, ${checks.length - passed} failed`)
  return passed === checks.length ? 0 : 1
}

/** Waits until the last event came, and a little longer for what comes twice; gives up at the deadline. */
export async function settle(seen, count, seconds = Number(process.env.CLIENT_SECONDS ?? 60)) {
  const end = Date.now() + seconds * 1000
  while (seen.events.length < count && Date.now() < end) await new Promise(r => setTimeout(r, 50))
  await new Promise(r => setTimeout(r, 1000))
}
