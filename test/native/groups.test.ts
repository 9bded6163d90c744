import test from 'ava'
import { type NativeArray, native } from '../../lib/native/index.js'
import { randomSource } from '../support/gradcheck.js'

type Storage = Float32ArrayConstructor
const storages = [Float32Array, Float64Array] as unknown as Storage[]
const shapes: readonly [number, number, number][] = [
  [3, 2, 1],
  [9, 4, 1],
  [33, 4, 1],
  [7, 8, 1],
  [5, 16, 1],
  [4, 5, 1],
  [2, 1000, 1],
  [3, 33, 1],
  [5, 4, 9],
  [2, 3, 17],
  [3, 2, 40],
  [2, 50, 3],
  [1, 1, 1],
  [0, 4, 1],
  [4, 4, 0],
]

/** The places of each group, in the order of the groups. */
const placesOf = ([outer, size, inner]: readonly [number, number, number]): number[][] =>
  Array.from({ length: outer * inner }, (_, group) => Array.from({ length: size }, (_, i) => (Math.floor(group / inner) * size + i) * inner + (group % inner)))

/** The definition: in each group the lowest scores fall, of equal ones the lower index. */
function pruned(scores: ArrayLike<number>, mask: ArrayLike<number> | null, magnitude: boolean, groups: number[][], falling: ArrayLike<number>): number[] {
  const result = Array.from(scores, (_, i) => mask?.[i] ?? 1)
  const rank = (i: number): number => (magnitude ? Math.abs(scores[i]) : scores[i])
  for (const [g, places] of groups.entries())
    for (const place of places
      .filter((i) => result[i] !== 0)
      .sort((a, b) => rank(a) - rank(b) || a - b)
      .slice(0, falling[falling.length === 1 ? 0 : g]))
      result[place] = 0
  return result
}

for (const Storage of storages)
  for (const MaskStorage of [Storage, Uint8Array as unknown as Storage])
    test(`${Storage.name}, masks ${MaskStorage.name}: in each group the smallest fall, the lower index first`, (t) => {
      const random = randomSource(3)
      for (const shape of shapes)
        for (const levels of [2, 1e9])
          for (const masked of [false, true])
            for (const magnitude of [false, true])
              for (const each of [false, true]) {
                const [outer, size, inner] = shape
                const n = outer * size * inner
                const scores = Storage.from({ length: n }, () => Math.round((random() * 2 - 1) * levels) / levels)
                const mask = masked ? MaskStorage.from({ length: n }, () => Math.floor(random() * 3)) : null
                const groups = placesOf(shape)
                const falling = Int32Array.from({ length: each ? groups.length : 1 }, () => Math.floor(random() * (size + 2)))
                const result = new MaskStorage(n)
                native.pruneGroups(scores, mask, Number(magnitude), outer, size, inner, falling, result)
                t.deepEqual(Array.from(result), pruned(scores, mask, magnitude, groups, falling), JSON.stringify({ shape, levels, masked, magnitude, each }))
                if (mask === null) continue
                // In place too.
                native.pruneGroups(scores, mask, Number(magnitude), outer, size, inner, falling, mask)
                t.deepEqual(Array.from(mask), Array.from(result))
                const counts = new Int32Array(groups.length)
                native.countGroups(mask, outer, size, inner, counts)
                t.deepEqual(
                  Array.from(counts),
                  groups.map((places) => places.filter((i) => mask[i] !== 0).length),
                )
              }
    })

test('a NaN in any group, and a number of groups that is not theirs, are errors', (t) => {
  for (const [outer, size, inner] of shapes.filter((shape) => !shape.includes(0))) {
    const scores = new Float32Array(outer * size * inner)
    scores[scores.length - 1] = Number.NaN
    const result = new Float32Array(scores.length)
    const thrown = { code: 'INVALID_ARGUMENT', message: /NaN/ }
    for (const magnitude of [0, 1]) {
      t.throws(() => native.pruneGroups(scores, null, magnitude, outer, size, inner, new Int32Array([1]), result), thrown)
      const mask = new Float32Array(scores.length).fill(1)
      t.throws(() => native.pruneGroups(scores, mask, magnitude, outer, size, inner, new Int32Array([1]), mask), thrown)
      t.true(
        mask.every((entry) => entry === 1),
        'a mask that is written over is as it was',
      )
    }
  }
  const eight = new Float32Array(8)
  t.throws(() => native.pruneGroups(eight, null, 1, 2, 4, 1, new Int32Array(3), eight), { code: 'SHAPE_MISMATCH' })
  t.throws(() => native.pruneGroups(eight, null, 1, 2, 4, 1, new Int32Array([-1]), eight), { code: 'INVALID_ARGUMENT' })
  t.throws(() => native.pruneGroups(eight, null, 1, 3, 4, 1, new Int32Array([1]), eight), { code: 'SHAPE_MISMATCH' })
})

test('entries up to a threshold are counted, the threshold as it is and not as the scores could hold it', (t) => {
  const random = randomSource(4)
  for (const Storage of storages)
    for (const n of [0, 1, 17, 40_000]) {
      const scores: NativeArray = Storage.from({ length: n }, () => Math.fround(Math.round((random() * 2 - 1) * 10) / 10))
      const mask: NativeArray = Storage.from({ length: n }, () => Math.floor(random() * 2))
      for (const threshold of [-Infinity, -1, 0, 0.1, Math.fround(0.1), 0.25, 0.7, Math.fround(0.7), 1, Infinity])
        for (const strictly of [0, 1])
          for (const magnitude of [0, 1]) {
            const low = (i: number): boolean => {
              const score = magnitude ? Math.abs(scores[i]) : scores[i]
              return strictly ? score < threshold : score <= threshold
            }
            const indices = Array.from({ length: n }, (_, i) => i)
            t.is(native.countAtMost([scores], [], magnitude, threshold, strictly), indices.filter(low).length)
            t.is(native.countAtMost([scores, scores], [mask, mask], magnitude, threshold, strictly), 2 * indices.filter((i) => mask[i] !== 0 && low(i)).length)
          }
    }
  t.throws(() => native.countAtMost([new Float32Array([Number.NaN])], [], 1, 0, 0), { code: 'INVALID_ARGUMENT' })
  t.throws(() => native.countAtMost([new Float32Array(1)], [], 1, Number.NaN, 0), { code: 'INVALID_ARGUMENT' })
})

test('ones are counted where there are only zeros beside them', (t) => {
  for (const Storage of [...storages, Uint8Array as unknown as Storage])
    for (const n of [0, 1, 127, 128, 129, 70_000]) {
      const mask = Storage.from({ length: n }, (_, i) => Number(i % 3 === 0))
      t.is(native.countOnes(mask), Math.ceil(n / 3))
      for (const place of [0, n - 1].filter((i) => i >= 0 && i < n)) {
        const other = mask.slice()
        other[place] = 2
        t.is(native.countOnes(other), -1)
      }
    }
  t.is(native.countOnes(new Float32Array([1, Number.NaN])), -1)
})
