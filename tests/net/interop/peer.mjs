/*
 * SPDX-FileCopyrightText: FlowShield contributors
 * SPDX-License-Identifier: Apache-2.0
 */

// A js-libp2p peer for the tests: commands come in and events go out, a line of JSON each.
//
// It knows of a network what a foreign implementation must know: names of protocols and topics, how a
// question is framed, and how a provider's record is signed.  Bytes are hexadecimal in JSON.

import { createPublicKey, verify } from 'node:crypto'
import { createInterface } from 'node:readline'
import { noise } from '@chainsafe/libp2p-noise'
import { quic } from '@chainsafe/libp2p-quic'
import { yamux } from '@chainsafe/libp2p-yamux'
import { gossipsub, StrictSign } from '@libp2p/gossipsub'
import { identify } from '@libp2p/identify'
import { kadDHT, passthroughMapper } from '@libp2p/kad-dht'
import { ping } from '@libp2p/ping'
import { tcp } from '@libp2p/tcp'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'

const { listen, network, topic, question, dht } = JSON.parse(process.argv[2])

const hex = (bytes) => Buffer.from(bytes).toString('hex')
const unhex = (text) => new Uint8Array(Buffer.from(text, 'hex'))
const tell = (value) => process.stdout.write(JSON.stringify(value) + '\n')

// A record: 64 bytes of signature, then canonical CBOR, an array of version, address and sequence first.
const DOMAIN = Buffer.from('flowshield provider record\0')
const ED25519 = Buffer.from('302a300506032b6570032100', 'hex') // SubjectPublicKeyInfo (RFC 8410)
const SEQUENCE = 64 + 1 + 1 + 21

function checkRecord (name, record) {
  const text = Buffer.from(name).toString()
  const key = Buffer.from(text.slice('/fs/'.length), 'base64url')
  if (!text.startsWith('/fs/') || key.length !== 32) throw new Error('not the name of a node key')
  const covered = Buffer.concat([DOMAIN, Buffer.from(network, 'hex'), record.subarray(64)])
  const registered = createPublicKey({ key: Buffer.concat([ED25519, key]), format: 'der', type: 'spki' })
  if (!verify(null, covered, registered, record.subarray(0, 64))) throw new Error('forged')
}

function sequence (record) {
  const bytes = Buffer.from(record)
  if (bytes[SEQUENCE] !== 0x1b) throw new Error('no 64-bit sequence')
  return bytes.readBigUInt64BE(SEQUENCE + 1)
}

function latest (name, records) {
  return records.reduce((best, record, index) => sequence(record) > sequence(records[best]) ? index : best, 0)
}

const node = await createLibp2p({
  addresses: { listen },
  transports: [tcp(), quic()],
  connectionEncrypters: [noise()],
  streamMuxers: [yamux()],
  connectionGater: { denyDialMultiaddr: () => false }, // loopback is denied otherwise
  services: {
    identify: identify(),
    ping: ping({ maxOutboundStreams: 2 }), // the monitor of connections uses one
    gossip: gossipsub({ globalSignaturePolicy: StrictSign, allowPublishToZeroTopicPeers: false }),
    dht: kadDHT({
      protocol: dht,
      clientMode: false,
      peerInfoMapper: passthroughMapper, // private addresses are dropped otherwise
      validators: { fs: async (name, record) => checkRecord(name, record) },
      selectors: { fs: latest }
    })
  }
})

node.services.gossip.addEventListener('message', ({ detail }) => {
  tell({ event: 'gossip', topic: detail.topic, from: String(detail.from), data: hex(detail.data) })
})
node.services.gossip.subscribe(topic)

const framed = (bytes) => {
  const head = Buffer.alloc(4)
  head.writeUInt32BE(bytes.length)
  return Buffer.concat([head, bytes])
}

async function frame (stream) {
  let held = Buffer.alloc(0)
  for await (const part of stream) {
    held = Buffer.concat([held, part.subarray()])
    if (held.length >= 4 && held.length >= 4 + held.readUInt32BE()) {
      return held.subarray(4, 4 + held.readUInt32BE())
    }
  }
  throw new Error('the stream ended within a frame')
}

await node.handle(question, async (stream) => {
  stream.send(framed(Buffer.from(await frame(stream)).reverse()))
  await stream.close()
})

const peerOf = (id) => node.getPeers().find((each) => String(each) === id)

const commands = {
  info: async () => ({
    peer: String(node.peerId),
    addresses: node.getMultiaddrs().map(String),
    connected: node.getConnections().map((each) => ({
      peer: String(each.remotePeer), address: String(each.remoteAddr), direction: each.direction, muxer: each.multiplexer, encryption: each.encryption
    })),
    subscribers: node.services.gossip.getSubscribers(topic).map(String),
    mesh: node.services.gossip.getMeshPeers(topic).map(String)
  }),
  protocols: async (id) => (await node.peerStore.get(peerOf(id))).protocols,
  dial: async (address) => String((await node.dial(multiaddr(address))).remotePeer),
  publish: async (data) => {
    const { recipients } = await node.services.gossip.publish(topic, unhex(data))
    return recipients.map(String)
  },
  ask: async (id, data) => {
    const stream = await node.dialProtocol(peerOf(id), question)
    stream.send(framed(unhex(data)))
    const answer = await frame(stream)
    await stream.close()
    return hex(answer)
  },
  ping: async (id) => node.services.ping.ping(peerOf(id)),
  put: async (name, record) => {
    const stored = []
    for await (const event of node.services.dht.put(Buffer.from(name), unhex(record))) {
      if (event.name === 'PEER_RESPONSE' && event.messageName === 'PUT_VALUE') stored.push(String(event.from))
    }
    return stored
  },
  get: async (name) => {
    const found = []
    for await (const event of node.services.dht.get(Buffer.from(name))) {
      if (event.name === 'VALUE') found.push({ from: String(event.from), record: hex(event.value) })
    }
    return found
  }
}

tell({ event: 'ready', peer: String(node.peerId), addresses: node.getMultiaddrs().map(String) })
for await (const line of createInterface({ input: process.stdin })) {
  const { number, command, given } = JSON.parse(line)
  commands[command](...given).then(
    (result) => tell({ number, result: result ?? null }),
    (error) => tell({ number, error: `${error.name}: ${error.message}` })
  )
}
await node.stop()
process.exit(0)
