// What no file of the repository may hold: names of registry hosts (the code must install from any
// registry) and paths of the machine it was written on.
// Usage: node scripts/check-text.mjs
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const forbidden = [
  [/\bnpm[j]s\.|\bregistry\.\w+\.\w+|\b(?:deb|security)\.[d]ebian\.org|\bp[y]pi\.org|\bproxy\.gola[n]g\.org/i, 'names a registry host'],
  [/"resolved"\s*:/, 'records where a package came from'],
  [/(?<![\w./-])\/(?:root|home|work|Users)\/\w|\/tmp\/wt\b/, 'holds a path of one machine'],
  [/\b(?:TODO|FIXME|XXX)\b/, 'holds unfinished work'],
]
// Its patterns are themselves such text.
const exempt = new Set(['scripts/check-text.mjs'])

let faults = 0
const files = execFileSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], { cwd: root, encoding: 'utf8', maxBuffer: 1 << 26 })
for (const path of files.split('\0')) {
  if (path === '' || exempt.has(path)) continue
  let text
  try {
    text = readFileSync(`${root}/${path}`, 'utf8')
  } catch {
    continue // deleted, or a link
  }
  if (text.includes('\0')) continue
  for (const [pattern, what] of forbidden) {
    const match = pattern.exec(text)
    if (match === null) continue
    const line = text.slice(0, match.index).split('\n').length
    console.error(`${path}:${line} ${what}: ${match[0]}`)
    faults++
  }
}
console.log(`text: ${faults} faults`)
if (faults > 0) process.exitCode = 1
