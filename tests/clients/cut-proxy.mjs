// A road between a reader and the server that can be dug up: cut-proxy.mjs SERVER_URL
//
// Prints {"proxy":"http://127.0.0.1:N","control":"http://127.0.0.1:M"}. At the control address, each a POST:
//   /away            drops every connection, and whoever comes, until
//   /back            lets them through again
//   /chop?bytes=5    hands on what the server says in pieces of 5 bytes, so that characters arrive in halves; 0 ends it
//   /cut?at=TEXT     drops the connection in which the server says TEXT, in the middle of TEXT's first character; once
// GET /state answers {"open":n,"cuts":n,"drops":n,"refused":n}.
import http from 'node:http'
import net from 'node:net'

const server = new URL(process.argv[2])
const open = new Set()
const state = { cuts: 0, drops: 0, refused: 0 }
let away = false, chop = 0, needle = null

/** Ends both sides at once, the reader's without a closing word. */
function drop(pair) {
  open.delete(pair)
  pair.reader.resetAndDestroy()
  pair.server.destroy()
}

/** How much of `chunk` may still pass before the cut; -1 if there is nothing to cut here. `tail` is what passed before it. */
function untilCut(tail, chunk) {
  if (!needle) return -1
  const at = Buffer.concat([tail, chunk]).indexOf(needle)
  return at < 0 ? -1 : Math.max(0, at + 2 - tail.length)
}

const proxy = net.createServer({ noDelay: true }, reader => {
  if (away) { state.refused++; return reader.resetAndDestroy() }
  const pair = { reader, server: net.connect({ port: Number(server.port), host: server.hostname, noDelay: true }) }
  open.add(pair)
  let tail = Buffer.alloc(0), queue = Buffer.alloc(0), busy = false, ended = false

  const pass = () => {
    if (busy || !open.has(pair)) return
    if (queue.length === 0) { if (ended) { open.delete(pair); reader.end() } return }
    let piece = queue.subarray(0, chop || queue.length)
    const cut = untilCut(tail, piece)
    if (cut >= 0) {
      piece = piece.subarray(0, cut)
      needle = null
      state.cuts++
      // The half character must have left before the connection goes, or nothing was cut in half.
      return reader.write(piece, () => setTimeout(() => drop(pair), 20))
    }
    tail = Buffer.concat([tail, piece]).subarray(-256)
    queue = queue.subarray(piece.length)
    busy = true
    reader.write(piece, () => { busy = false; chop ? setTimeout(pass, 1) : pass() })
  }
  pair.server.on('data', chunk => { queue = Buffer.concat([queue, chunk]); pass() })
  pair.server.on('end', () => { ended = true; pass() })
  reader.on('data', chunk => pair.server.write(chunk))
  for (const side of [reader, pair.server]) {
    side.on('error', () => {})
    side.on('close', hadError => { if (side === reader || hadError) drop(pair) })
  }
})

const control = http.createServer((request, response) => {
  const url = new URL(request.url, 'http://control')
  const command = `${request.method} ${url.pathname}`
  if (command === 'POST /away') {
    away = true
    state.drops += open.size
    for (const pair of [...open]) drop(pair)
  } else if (command === 'POST /back') away = false
  else if (command === 'POST /chop') chop = Number(url.searchParams.get('bytes'))
  else if (command === 'POST /cut') needle = Buffer.from(url.searchParams.get('at'))
  else if (command !== 'GET /state') response.statusCode = 404
  response.setHeader('content-type', 'application/json')
  response.end(JSON.stringify({ open: open.size, ...state }) + '\n')
})

const listening = listener => new Promise(done => listener.listen(0, '127.0.0.1', () => done(`http://127.0.0.1:${listener.address().port}`)))
console.log(JSON.stringify({ proxy: await listening(proxy), control: await listening(control) }))
