import test from 'ava'
import { native } from '../../lib/native/index.js'
import { randomSource } from '../support/gradcheck.js'

type Storage = Float32ArrayConstructor
const storages = [Float32Array, Float64Array] as unknown as Storage[]

/** The definition: order by score, then by index, and let the first k fall. */
function fallen(scores: readonly ArrayLike<number>[], masks: readonly (ArrayLike<number> | null)[], magnitude: boolean, k: number): number[][] {
  const entries: { array: number; index: number; score: number }[] = []
  const results = scores.map((list, array) => Array.from(list, (_, index) => masks[array]?.[index] ?? 1))
  scores.forEach((list, array) => {
    for (let index = 0; index < list.length; index++)
      if (results[array][index] !== 0) entries.push({ array, index, score: magnitude ? Math.abs(list[index]) : list[index] })
  })
  entries.sort((a, b) => a.score - b.score || a.array - b.array || a.index - b.index)
  for (const { array, index } of entries.slice(0, k)) results[array][index] = 0
  return results
}

for (const Storage of storages)
  for (const MaskStorage of [Storage, Uint8Array as unknown as Storage])
    test(`${Storage.name}, masks ${MaskStorage.name}: the k smallest of several arrays fall, the lower index first`, (t) => {
      const random = randomSource(1)
      for (const lengths of [[0], [1], [17], [5, 0, 33], [3000], [50_000, 1, 20_000]])
        for (const levels of lengths[0] > 10_000 ? [20, 1e9] : [3, 20, 1e9])
          for (const masked of [false, true])
            for (const magnitude of [true, false]) {
              const scores = lengths.map((n) => Storage.from({ length: n }, () => Math.round((random() * 2 - 1) * levels) / levels))
              const masks = masked ? scores.map(({ length }) => MaskStorage.from({ length }, () => Math.floor(random() * 3))) : []
              const left = masked ? masks.reduce((sum, mask) => sum + mask.filter((entry) => entry !== 0).length, 0) : lengths.reduce((a, b) => a + b, 0)
              const counts = lengths[0] > 10_000 ? [left >> 2] : [0, 1, left >> 2, left - 1, left]
              for (const k of new Set(counts.filter((k) => k >= 0 && k <= left))) {
                const results = scores.map(({ length }) => new MaskStorage(length))
                const threshold = native.pruneSmallest(scores, masks, Number(magnitude), k, results)
                const expected = fallen(scores, masks, magnitude, k)
                t.true(
                  results.every((result, i) => result.every((entry, j) => entry === expected[i][j])),
                  JSON.stringify({ lengths, levels, masked, magnitude, k }),
                )
                let highest = -Infinity
                scores.forEach((list, i) => {
                  list.forEach((score, j) => {
                    const before = masks[i]?.[j] ?? 1
                    if (before !== 0 && expected[i][j] === 0) highest = Math.max(highest, magnitude ? Math.abs(score) : score)
                  })
                })
                t.is(threshold, k === 0 ? -Infinity : highest)
              }
            }
    })

test('sorted, constant, two-valued and infinite scores fall as any others', (t) => {
  const n = 80_000
  const random = randomSource(2)
  const kinds: Record<string, (i: number) => number> = {
    rising: (i) => i,
    falling: (i) => n - i,
    constant: () => 2,
    two: (i) => (i % 3 === 0 ? 1 : 2),
    blocks: (i) => Math.floor(i / 30_000) + random() * 1e-3,
    infinite: (i) => (i % 5 === 0 ? Infinity : i % 7 === 0 ? -Infinity : i),
    lumps: (i) => (i % 100 < 99 ? 0.25 : random()),
  }
  for (const [name, value] of Object.entries(kinds))
    for (const k of [1, 30_000, 45_001, n - 1]) {
      const scores = Float64Array.from({ length: n }, (_, i) => value(i))
      const mask = new Uint8Array(n)
      native.pruneSmallest([scores], [], 0, k, [mask])
      t.deepEqual(Array.from(mask), fallen([scores], [], false, k)[0], `${name}, k = ${k}`)
    }
})

test('masks may be results', (t) => {
  const scores = [Float32Array.of(4, -1, 3), Float32Array.of(-2, 5)]
  const masks = [Float32Array.of(1, 1, 1), Float32Array.of(1, 1)]
  native.pruneSmallest(scores, masks, 1, 1, masks)
  native.pruneSmallest(scores, masks, 1, 2, masks)
  t.deepEqual(
    masks.map((mask) => [...mask]),
    [
      [1, 0, 0],
      [0, 1],
    ],
  )
})

test('what cannot be is an error, and changes nothing', (t) => {
  const scores = Float32Array.of(3, 1, 2)
  const result = Float32Array.of(7, 7, 7)
  const mask = Float32Array.of(1, 0, 1)
  for (const bad of [
    () => native.pruneSmallest([scores], [], 1, 4, [result]),
    () => native.pruneSmallest([scores], [mask], 1, 3, [result]),
    () => native.pruneSmallest([scores], [], 1, -1, [result]),
    () => native.pruneSmallest([Float32Array.of(3, Number.NaN, 2)], [], 1, 1, [result]),
    () => native.pruneSmallest([scores], [], 1, 1, []),
    () => native.pruneSmallest([scores], [], 1, 1, [new Float32Array(2)]),
    () => native.pruneSmallest([scores], [], 1, 1, [new Int32Array(3)]),
    () => native.pruneSmallest([scores, new Float64Array(3)], [], 1, 1, [result, new Float32Array(3)]),
    () => native.pruneSmallest([], [], 1, 1, []),
    () => native.pruneSmallest(scores as never, [], 1, 1, [result]),
    () => native.pruneSmallest([3 as never], [], 1, 1, [result]),
    () => native.keepLargest(scores, null, 1, 1, 2, 1, result),
    () => native.keepLargest(scores, null, 1, -1, -3, 1, result),
    () => native.keepLargest(scores, null, 1, 1, 3, -1, result),
    () => native.keepLargest(Float32Array.of(Number.NaN, 1, 2), null, 1, 1, 3, 1, result),
    () => native.applyMask(scores, Float32Array.of(1), result),
    () => native.applyMask(scores, new Int32Array(3), result),
    () => native.sliceNorm([3], [2], 2, scores, new Float32Array(1)),
    () => native.sliceNorm([3], [], 2, scores, new Float32Array(1)),
    () => native.sliceNorm([3], [1], Number.NaN, scores, new Float32Array(1)),
    () => native.sliceNorm([3], [1], 2, scores, new Float32Array(2)),
  ])
    t.throws(bad, { name: 'EspalierError' }, String(bad))
  t.deepEqual([...result], [7, 7, 7])
})

for (const Storage of storages)
  test(`${Storage.name}: each row keeps its largest, the lower index first`, (t) => {
    const random = randomSource(6)
    for (const [rows, columns] of [
      [0, 5],
      [5, 0],
      [1, 1],
      [8, 9],
      [16, 72],
      [3, 4001],
      [2000, 33],
    ])
      for (const levels of [3, 1e6])
        for (const masked of [false, true])
          for (const keep of [0, 1, 4, columns - 1, columns, columns + 3].filter((count) => count >= 0)) {
            const scores = Storage.from({ length: rows * columns }, () => Math.round((random() * 2 - 1) * levels) / levels)
            const mask = masked ? Storage.from(scores, () => Number(random() < 0.5)) : null
            const result = new Storage(rows * columns)
            native.keepLargest(scores, mask, 1, rows, columns, keep, result)
            const expected = Array.from(scores, (_, i) => mask?.[i] ?? 1)
            for (let row = 0; row < rows; row++)
              Array.from({ length: columns }, (_, i) => row * columns + i)
                .filter((i) => expected[i] !== 0)
                .sort((a, b) => Math.abs(scores[b]) - Math.abs(scores[a]) || a - b)
                .slice(keep)
                .forEach((i) => {
                  expected[i] = 0
                })
            t.true(
              result.every((entry, i) => entry === expected[i]),
              JSON.stringify({ rows, columns, levels, masked, keep }),
            )
          }
  })

for (const Storage of storages)
  test(`${Storage.name}: norms over any dimensions`, (t) => {
    const random = randomSource(8)
    const near = Storage === Float32Array ? 1e-5 : 1e-13
    const shapes = [[], [1], [5], [40_000], [3, 40], [4, 3, 3], [8, 5, 3, 3], [2, 3, 4, 5, 2], [64, 64, 9], [1, 7, 1], [0, 3], [3, 0, 2]]
    for (const shape of shapes)
      for (let choice = 0; choice < 2 ** shape.length; choice++)
        for (const p of [0, 1, 2, Infinity, -Infinity, 3, 0.5, -1]) {
          const n = shape.reduce((a, b) => a * b, 1)
          const x = Storage.from({ length: n }, () => (random() < 0.1 && p >= 0 ? 0 : random() * 2 - 1))
          const reduced = shape.map((_, i) => (choice >> i) & 1)
          const outputs = shape.reduce((size, dimension, i) => (reduced[i] ? size : size * dimension), 1)
          const y = new Storage(outputs)
          native.sliceNorm(shape, reduced, p, x, y)
          const parts: number[][] = Array.from({ length: outputs }, () => [])
          for (let i = 0; i < n; i++) {
            let [rest, at, step] = [i, 0, 1]
            for (let d = shape.length - 1; d >= 0; d--) {
              if (!reduced[d]) {
                at += (rest % shape[d]) * step
                step *= shape[d]
              }
              rest = Math.floor(rest / shape[d])
            }
            parts[at].push(Math.abs(x[i]))
          }
          const norm = (part: number[]): number => {
            if (p === Infinity) return part.reduce((a, b) => Math.max(a, b), 0)
            if (p === -Infinity) return part.reduce((a, b) => Math.min(a, b), Infinity)
            if (p === 0) return part.filter((entry) => entry !== 0).length
            return part.reduce((sum, entry) => sum + entry ** p, 0) ** (1 / p)
          }
          const wrong = parts.findIndex((part, i) => !(y[i] === norm(part) || Math.abs(y[i] - norm(part)) <= near * Math.abs(norm(part))))
          t.is(wrong, -1, JSON.stringify({ shape, reduced, p: String(p), y: y[wrong], expected: parts[wrong] && norm(parts[wrong]) }))
        }
    for (const p of [0, 1, 2, Infinity, -Infinity, 3]) {
      const y = new Storage(2)
      native.sliceNorm(
        [2, 20],
        [0, 1],
        p,
        Storage.from({ length: 40 }, (_, i) => (i === 3 ? Number.NaN : i)),
        y,
      )
      t.true(Number.isNaN(y[0]) && !Number.isNaN(y[1]))
    }
  })

test('the k-th smallest magnitude of each channel, and where it first stands', (t) => {
  const random = randomSource(10)
  for (const [outer, channels, inner] of [
    [1, 1, 1],
    [1, 1, 5000],
    [3, 4, 7],
    [6, 5, 1],
    [2, 3, 900],
  ]) {
    const x = Float32Array.from({ length: outer * channels * inner }, () => Math.round(random() * 2000 - 1000))
    for (const k of new Set([1, outer * inner, Math.ceil((outer * inner) / 2)])) {
      const value = new Float32Array(channels)
      const index = new Int32Array(channels)
      native.absKth(x, outer, channels, inner, k, value, index)
      for (let c = 0; c < channels; c++) {
        const places = Array.from(x.keys()).filter((i) => Math.floor(i / inner) % channels === c)
        const expected = places.map((i) => Math.abs(x[i])).sort((a, b) => a - b)[k - 1]
        t.deepEqual([value[c], index[c]], [expected, places.find((i) => Math.abs(x[i]) === expected)])
      }
    }
  }
  const value = new Float32Array(1)
  for (const bad of [
    () => native.absKth(Float32Array.of(1), 1, 1, 1, 0, value, null),
    () => native.absKth(Float32Array.of(1), 1, 1, 1, 2, value, null),
    () => native.absKth(Float32Array.of(Number.NaN), 1, 1, 1, 1, value, null),
    () => native.absKth(new Float32Array(0), 0, 1, 1, 1, value, null),
  ])
    t.throws(bad, { name: 'EspalierError' })
})

test('a mask multiplies, of either type, in place too', (t) => {
  for (const n of [0, 1, 7, 33, 70_001]) {
    const x = Float32Array.from({ length: n }, (_, i) => i - 3)
    const mask = Uint8Array.from({ length: n }, (_, i) => i % 3)
    const y = new Float32Array(n)
    native.applyMask(x, mask, y)
    t.true(y.every((entry, i) => entry === x[i] * mask[i]))
    native.applyMask(x, Float32Array.from(mask), x)
    t.true(y.every((entry, i) => entry === x[i]))
  }
})

test.serial('the bits do not depend on the threads', (t) => {
  const random = randomSource(9)
  const scores = [100_003, 50_001].map((n) => Float32Array.from({ length: n }, () => Math.round(random() * 1000)))
  const before = native.threads()
  const results = [1, 2, 3, 8].map((count) => {
    native.setThreads(count)
    const masks = scores.map(({ length }) => new Uint8Array(length))
    native.pruneSmallest(scores, [], 1, 70_000, masks)
    const norms = new Float32Array(1)
    native.sliceNorm([100_003], [1], 2, scores[0], norms)
    return [...masks.map((mask) => Buffer.from(mask).toString('base64')), norms[0]]
  })
  native.setThreads(before)
  for (const result of results) t.deepEqual(result, results[0])
})
