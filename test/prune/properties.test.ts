// What holds for every weight, mask, part and amount.
import test from 'ava'
import fc from 'fast-check'
import { Generator, nn, prune, type Tensor, tensor } from '../../lib/index.js'

/** Weights with ties and zeros among them, as a linear layer of `rows`. */
const layers = fc
  .record({ rows: fc.integer({ min: 1, max: 6 }), columns: fc.integer({ min: 1, max: 7 }), dtype: fc.constantFrom('float32' as const, 'float64' as const) })
  .chain(({ rows, columns, dtype }) =>
    fc.record({
      dtype: fc.constant(dtype),
      shape: fc.constant([rows, columns]),
      weight: fc.array(fc.oneof(fc.integer({ min: -3, max: 3 }), fc.float({ min: -10, max: 10, noNaN: true })), {
        minLength: rows * columns,
        maxLength: rows * columns,
      }),
      mask: fc.option(fc.array(fc.constantFrom(0, 1, 1), { minLength: rows * columns, maxLength: rows * columns })),
    }),
  )

type Made = typeof layers extends fc.Arbitrary<infer T> ? T : never

function make({ shape, weight, mask, dtype }: Made): nn.Linear {
  const layer = new nn.Linear(shape[1], shape[0]).to(dtype)
  layer.weight.data.set(weight)
  if (mask !== null) nn.setMask(layer, 'weight', tensor(mask).reshape(shape))
  return layer
}

const scores = { l1: prune.l1, l2: prune.ln(2), linf: prune.ln(Number.POSITIVE_INFINITY), 'l-inf': prune.ln(Number.NEGATIVE_INFINITY), l0: prune.ln(0) }
const parts = fc.record({
  score: fc.constantFrom(...Object.values(scores), 'random' as const),
  structure: fc.constantFrom(prune.element, prune.slice(0), prune.slice(1), prune.slice(-1)),
  share: fc.double({ min: 0, max: 1, noNaN: true }),
  of: fc.constantFrom('remaining' as const, 'total' as const),
})

const maskData = (layer: nn.Module): number[] => Array.from(nn.maskOf(layer, 'weight')?.data ?? new Float32Array(layer.latentWeight('weight').size).fill(1))

/** The units of a weight as lists of places. */
function unitsOf({ name }: prune.Structure, [rows, columns]: readonly number[]): number[][] {
  const all = Array.from({ length: rows * columns }, (_, i) => i)
  if (name === 'element') return all.map((i) => [i])
  return name === 'slice(0)'
    ? Array.from({ length: rows }, (_, row) => all.filter((i) => Math.floor(i / columns) === row))
    : Array.from({ length: columns }, (_, column) => all.filter((i) => i % columns === column))
}

/** To the nearest, of two equally near the even one. */
function rounded(value: number): number {
  const [below, above] = [Math.floor(value), Math.ceil(value)]
  if (value - below !== above - value) return value - below < above - value ? below : above
  return below % 2 === 0 ? below : above
}

test('exactly the promised number falls, nothing returns, survivors never score below the fallen', (t) => {
  t.notThrows(() =>
    fc.assert(
      fc.property(layers, parts, fc.nat(1000), (made, { score, structure, share, of }, seed) => {
        const layer = make(made)
        const before = maskData(layer)
        const effective = Array.from(layer.effective('weight').data)
        prune.pruneWeights([[layer, 'weight']], {
          score: score === 'random' ? prune.random({ generator: new Generator(seed) }) : score,
          structure,
          amount: prune.fraction(share, { of }),
        })
        const after = maskData(layer)
        const units = unitsOf(structure, made.shape)
        const open = units.filter((unit) => unit.some((i) => before[i] === 1))
        const fallen = open.filter((unit) => unit.every((i) => after[i] === 0))
        const gone = units.length - open.length
        const promised = of === 'remaining' ? rounded(share * open.length) : Math.max(0, rounded(share * units.length) - gone)
        if (fallen.length !== promised) return false
        // What stays stays as it was.
        const left = open.filter((unit) => !fallen.includes(unit))
        if (!left.every((unit) => unit.every((i) => after[i] === before[i]))) return false
        if (!before.every((entry, i) => after[i] <= entry)) return false
        if (score === 'random') return true
        const p = score.norm ?? 1
        const norm = (unit: number[]): number => {
          const magnitudes = unit.map((i) => Math.abs(effective[i]))
          if (p === 0) return magnitudes.filter((x) => x !== 0).length
          if (p === Number.POSITIVE_INFINITY) return Math.max(...magnitudes)
          if (p === Number.NEGATIVE_INFINITY) return Math.min(...magnitudes)
          return magnitudes.reduce((sum, x) => sum + x ** p, 0) ** (1 / p)
        }
        const slack = made.dtype === 'float32' ? 1e-5 : 1e-12
        const [highest, lowest] = [Math.max(...fallen.map(norm)), Math.min(...left.map(norm))]
        return highest <= lowest + slack * (1 + Math.abs(lowest))
      }),
      { numRuns: 500 },
    ),
  )
})

test('masks compose: the result of calls in turn is the product, and pruning counts what they left', (t) => {
  t.notThrows(() =>
    fc.assert(
      fc.property(layers, fc.array(fc.constantFrom(0, 1, 1, 1), { minLength: 42, maxLength: 42 }), (made, entries) => {
        const layer = make(made)
        const before = maskData(layer)
        const more = entries.slice(0, before.length)
        prune.customFromMask(layer, 'weight', tensor(more).reshape(made.shape))
        const both = before.map((entry, i) => entry * more[i])
        if (maskData(layer).join() !== both.join()) return false
        const left = both.filter((entry) => entry === 1).length
        prune.l1Unstructured(layer, 'weight', left)
        return maskData(layer).every((entry) => entry === 0)
      }),
    ),
  )
})

test('remove keeps the output', (t) => {
  t.notThrows(() =>
    fc.assert(
      fc.property(layers, fc.double({ min: 0, max: 1, noNaN: true }), (made, share) => {
        const layer = make(made)
        prune.l1Unstructured(layer, 'weight', prune.fraction(share))
        const x = tensor(
          Array.from({ length: made.shape[1] }, (_, i) => Math.sin(i)),
          { dtype: made.dtype },
        ).reshape([1, made.shape[1]])
        const before = Array.from(layer.forward(x).data)
        prune.remove(layer, 'weight')
        return Object.keys(layer.stateDict()).join() === 'bias,weight' && Array.from(layer.forward(x).data).every((value, i) => Object.is(value, before[i]))
      }),
    ),
  )
})

test('a global call is a call on the weights joined, ties and all', (t) => {
  const joined = (masks: Tensor[]): string => masks.map(({ data }) => Array.from(data).join()).join()
  t.notThrows(() =>
    fc.assert(
      fc.property(
        layers,
        layers,
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.constantFrom('remaining' as const, 'total' as const),
        (first, second, share, of) => {
          const pair = [make({ ...first, dtype: 'float64' }), make({ ...second, dtype: 'float64' })]
          const size = first.weight.length + second.weight.length
          const one = make({
            dtype: 'float64',
            shape: [1, size],
            weight: [...first.weight, ...second.weight],
            mask: [first, second].flatMap(({ mask, weight }) => mask ?? weight.map(() => 1)),
          })
          const amount = prune.fraction(share, { of })
          prune.globalUnstructured(
            pair.map((layer): prune.Pair => [layer, 'weight']),
            { method: prune.L1Unstructured, amount },
          )
          prune.l1Unstructured(one, 'weight', amount)
          return joined(pair.map((layer) => nn.maskOf(layer, 'weight')!)) === joined([nn.maskOf(one, 'weight')!])
        },
      ),
    ),
  )
})

test('a method of your own, shown only what is left, does what the composed one does', (t) => {
  class Smallest extends prune.BasePruningMethod {
    readonly pruningType = 'unstructured'
    constructor(readonly amount: number | prune.Amount) {
      super()
    }
    computeMask(weight: Tensor, defaultMask: Tensor): Tensor {
      return new prune.L1Unstructured(this.amount).computeMask(weight, defaultMask)
    }
  }
  class SmallestSlices extends prune.BasePruningMethod {
    readonly pruningType = 'structured'
    constructor(
      readonly amount: prune.Amount,
      override readonly dim: number,
    ) {
      super()
    }
    computeMask(weight: Tensor, defaultMask: Tensor): Tensor {
      return new prune.LnStructured(this.amount, 2, this.dim).computeMask(weight, defaultMask)
    }
  }
  t.notThrows(() =>
    fc.assert(
      fc.property(layers, layers, fc.double({ min: 0, max: 1, noNaN: true }), fc.constantFrom(0, 1, -1), (made, other, share, dim) => {
        const amount = prune.fraction(share)
        const [ours, theirs] = [make(made), make(made)]
        new prune.L1Unstructured(amount).apply(ours, 'weight')
        new Smallest(amount).apply(theirs, 'weight')
        if (maskData(ours).join() !== maskData(theirs).join()) return false
        new prune.LnStructured(amount, 2, dim).apply(ours, 'weight')
        new SmallestSlices(amount, dim).apply(theirs, 'weight')
        if (maskData(ours).join() !== maskData(theirs).join()) return false
        const more = [make({ ...other, dtype: made.dtype }), make({ ...other, dtype: made.dtype })]
        prune.globalUnstructured(
          [
            [ours, 'weight'],
            [more[0], 'weight'],
          ],
          { method: prune.L1Unstructured, amount },
        )
        prune.globalUnstructured(
          [
            [theirs, 'weight'],
            [more[1], 'weight'],
          ],
          { method: Smallest, amount },
        )
        return maskData(ours).join() === maskData(theirs).join() && maskData(more[0]).join() === maskData(more[1]).join()
      }),
      { numRuns: 200 },
    ),
  )
})
