// What holds for every structure, score, amount and mask before: exactly the promised number falls, whole units,
// the lowest of them, and nothing returns.
import test from 'ava'
import fc from 'fast-check'
import { EspalierError, nn, prune, tensor } from '../../lib/index.js'
import { randomSource } from '../support/gradcheck.js'

// Amounts that take nothing are among those tried; the warnings are not what is looked at here.
process.emitWarning = () => {}

type Place = { o: number; c: number; i: number; j: number }

/** By what two weights of [out, in, kh, kw] are of one unit; the definition of each structure. */
const units: Record<string, (place: Place, shape: readonly number[]) => readonly number[]> = {
  element: ({ o, c, i, j }) => [o, c, i, j],
  filter: ({ o }) => [o],
  row: ({ o }) => [o],
  inputChannel: ({ c }) => [c],
  kernel: ({ o, c }) => [o, c],
  kernelRow: ({ o, c, i }) => [o, c, i],
  kernelColumn: ({ o, c, j }) => [o, c, j],
  column: ({ c, i, j }) => [c, i, j],
  stripe: ({ o, i, j }) => [o, i, j],
  depthwise: ({ o, i, j }) => [o, i, j],
  position: ({ i, j }) => [i, j],
  'block(2, 3)': ({ o, c, i, j }, [, , kh, kw]) => [Math.floor(o / 2), Math.floor(((c * kh + i) * kw + j) / 3)],
}
/** Among which units an amount is counted; the definition of structures with groups. */
const groups: Record<string, (place: Place) => readonly number[]> = {
  'nm(2, 4)': ({ o, c, i, j }) => [o, Math.floor(c / 4), i, j],
  'nm(1, 2)': ({ o, c, i, j }) => [o, Math.floor(c / 2), i, j],
  perNeuron: ({ o }) => [o],
}
const structures: Record<string, prune.Structure> = {
  ...Object.fromEntries(
    ['element', 'filter', 'row', 'inputChannel', 'kernel', 'kernelRow', 'kernelColumn', 'column', 'stripe', 'depthwise', 'position', 'perNeuron'].map(
      (name) => [name, (prune as unknown as Record<string, prune.Structure>)[name]],
    ),
  ),
  'block(2, 3)': prune.block(2, 3),
  'nm(2, 4)': prune.nm(2, 4),
  'nm(1, 2)': prune.nm(1, 2),
}

const weights = fc
  .record({
    out: fc.constantFrom(2, 4),
    inputs: fc.constantFrom(4, 8),
    kernel: fc.constantFrom([1, 3] as const, [3, 3] as const, [2, 3] as const),
    transposed: fc.boolean(),
    dtype: fc.constantFrom('float32' as const, 'float64' as const),
    seed: fc.nat(),
  })
  .chain((shape) => {
    const size = shape.out * shape.inputs * shape.kernel[0] * shape.kernel[1]
    return fc.record({
      shape: fc.constant(shape),
      values: fc.array(fc.oneof(fc.integer({ min: -3, max: 3 }), fc.float({ min: -8, max: 8, noNaN: true })), { minLength: size, maxLength: size }),
      mask: fc.option(fc.array(fc.constantFrom(0, 1, 1), { minLength: size, maxLength: size })),
    })
  })
type Made = typeof weights extends fc.Arbitrary<infer T> ? T : never

function make({ shape, values, mask }: Made) {
  const { out, inputs, kernel, transposed, dtype } = shape
  const layer = (transposed ? new nn.ConvTranspose2d(inputs, out, kernel) : new nn.Conv2d(inputs, out, kernel)).to(dtype)
  layer.weight.data.set(values)
  if (mask !== null) nn.setMask(layer, 'weight', tensor(mask).reshape(layer.weight.shape))
  const [kh, kw] = kernel
  const places = Array.from({ length: values.length }, (_, n): Place => {
    const [a, b, i, j] = [Math.floor(n / (kh * kw * layer.weight.shape[1])), Math.floor(n / (kh * kw)) % layer.weight.shape[1], Math.floor(n / kw) % kh, n % kw]
    return transposed ? { o: b, c: a, i, j } : { o: a, c: b, i, j }
  })
  return { layer, places, logical: [out, inputs, kh, kw] }
}

function grouped<Item>(items: readonly Item[], key: (item: Item) => readonly number[]): Item[][] {
  const found = new Map<string, Item[]>()
  for (const item of items) found.set(key(item).join(), [...(found.get(key(item).join()) ?? []), item])
  return [...found.values()]
}
const rounded = (value: number): number => {
  const [below, above] = [Math.floor(value), Math.ceil(value)]
  if (value - below !== above - value) return value - below < above - value ? below : above
  return below % 2 === 0 ? below : above
}
const maskData = (layer: nn.Module): number[] => Array.from(nn.maskOf(layer, 'weight')?.data ?? Array(layer.latentWeight('weight').size).fill(1))

const signed: prune.Score = { name: 'signed', of: (weight) => weight, magnitude: false }
const scores = [prune.l1, prune.ln(2), prune.ln(Number.POSITIVE_INFINITY), signed]
const amounts = fc.oneof(
  fc.record({
    kind: fc.constant('fraction' as const),
    share: fc.double({ min: 0, max: 1, noNaN: true }),
    of: fc.constantFrom('remaining' as const, 'total' as const),
  }),
  fc.record({ kind: fc.constant('keep' as const), n: fc.nat(9) }),
  fc.record({ kind: fc.constant('atLeast' as const), minimum: fc.nat(4), share: fc.double({ min: 0, max: 1, noNaN: true }) }),
)

test('every structure: exactly the promised number falls in each group, whole units, the lowest, and nothing returns', (t) => {
  t.notThrows(() =>
    fc.assert(
      fc.property(
        weights,
        fc.constantFrom(...Object.keys(structures)),
        fc.constantFrom(...scores),
        amounts,
        fc.boolean(),
        (made, name, score, amount, throughPruner) => {
          if (made.shape.transposed && name.startsWith('block')) return true
          const { layer, places, logical } = make(made)
          if (made.shape.transposed && (!throughPruner || name === 'perNeuron')) return true
          const structure = structures[name]
          const [before, effective] = [maskData(layer), Array.from(layer.effective('weight').data)]
          const parts =
            amount.kind === 'fraction'
              ? prune.fraction(amount.share, { of: amount.of })
              : amount.kind === 'keep'
                ? prune.keep(amount.n)
                : prune.atLeast(amount.minimum, prune.fraction(amount.share))
          if (throughPruner) new prune.Pruner(layer, { score, structure, amount: parts }).step()
          else prune.pruneWeights([[layer, 'weight']], { score, structure, amount: parts })
          const after = maskData(layer)
          if (!before.every((entry, i) => after[i] <= entry)) return false

          const all = places.map((place, n) => ({ place, n }))
          const cut = units[name] ?? units.element
          for (const group of grouped(all, ({ place }) => groups[name]?.(place) ?? [])) {
            const list = grouped(group, ({ place }) => cut(place, logical))
            const open = list.filter((unit) => unit.some(({ n }) => before[n] === 1))
            const fallen = open.filter((unit) => unit.every(({ n }) => after[n] === 0))
            const left = open.filter((unit) => !fallen.includes(unit))
            if (!left.every((unit) => unit.every(({ n }) => after[n] === before[n]))) return false
            const promised =
              amount.kind === 'fraction'
                ? amount.of === 'remaining'
                  ? rounded(amount.share * open.length)
                  : Math.max(0, rounded(amount.share * list.length) - (list.length - open.length))
                : amount.kind === 'keep'
                  ? Math.max(0, open.length - amount.n)
                  : Math.min(rounded(amount.share * open.length), Math.max(0, open.length - amount.minimum))
            if (fallen.length !== promised) return false
            const p = score.norm ?? 1
            const norm = (unit: { n: number }[]): number => {
              if (!score.magnitude) return unit.reduce((sum, { n }) => sum + effective[n], 0)
              const magnitudes = unit.map(({ n }) => Math.abs(effective[n]))
              return p === Number.POSITIVE_INFINITY ? Math.max(...magnitudes) : magnitudes.reduce((sum, x) => sum + x ** p, 0) ** (1 / p)
            }
            const slack = made.shape.dtype === 'float32' ? 1e-5 : 1e-12
            const [highest, lowest] = [Math.max(...fallen.map(norm)), Math.min(...left.map(norm))]
            if (!(highest <= lowest + slack * (10 + Math.abs(lowest)))) return false
          }
          return true
        },
      ),
      { numRuns: 1500 },
    ),
  )
})

test('a threshold: all at or below it fall, and no other', (t) => {
  t.notThrows(() =>
    fc.assert(
      fc.property(
        weights,
        fc.constantFrom(0, 0.1, 1, 2, 9),
        fc.boolean(),
        fc.constantFrom('element', 'nm(2, 4)', 'perNeuron'),
        (made, limit, strictly, name) => {
          const { layer } = make({ ...made, shape: { ...made.shape, transposed: false } })
          const before = maskData(layer)
          prune.pruneWeights([[layer, 'weight']], { structure: structures[name], amount: prune.threshold(limit, { strictly }) })
          const latent = layer.latentWeight('weight').data
          return maskData(layer).every((entry, i) => {
            const falls = strictly ? Math.abs(latent[i]) < limit : Math.abs(latent[i]) <= limit
            return entry === (falls ? 0 : before[i])
          })
        },
      ),
    ),
  )
})

/** Fills the parameters of a model with numbers that a seed fixes. */
function filled<M extends nn.Module>(model: M, seed: number): M {
  const random = randomSource(seed)
  for (const parameter of model.parameters()) for (let i = 0; i < parameter.size; i++) parameter.data[i] = random() * 2 - 1
  return model
}

const model = (seed: number): nn.Sequential =>
  filled(new nn.Sequential(new nn.Conv2d(2, 4, 3), new nn.ReLU(), new nn.Flatten(), new nn.Linear(64, 12), new nn.ReLU(), new nn.Linear(12, 4)), seed)

test('allocations: the total is exactly what was asked of all units', (t) => {
  t.notThrows(() =>
    fc.assert(
      fc.property(
        fc.nat(1e6),
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.constantFrom('global', 'erk', 'byLamp', 'perGroup', 'perTensor'),
        fc.constantFrom('element', 'kernel', 'filter'),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (seed, first, kind, structure, second) => {
          const net = model(seed + 1)
          const [low, high] = [Math.min(first, second), Math.max(first, second)]
          const amountOf = (part: number): prune.Amount => {
            const share = prune.fraction(part, { of: 'total' })
            return kind === 'perGroup'
              ? prune.perGroup(share, (_, module) => module.constructor.name)
              : prune[kind as 'global' | 'erk' | 'byLamp' | 'perTensor'](share)
          }
          for (const share of [low, high]) {
            new prune.Pruner(net, { structure: structures[structure], amount: amountOf(share) }).step()
            const { layers, total } = new prune.Pruner(net, { structure: structures[structure], amount: 0 }).report()
            // byLamp shares out single weights: where units are of different sizes they come to another total.
            if (kind === 'byLamp' && structure !== 'element') continue
            const expected = {
              global: [layers],
              erk: [layers],
              byLamp: [layers],
              perTensor: layers.map((layer) => [layer]),
              perGroup: [layers.slice(0, 1), layers.slice(1)],
            }[kind]!
            for (const group of expected) {
              const [fallen, size] = (['fallen', 'units'] as const).map((of) => group.map((layer) => layer[of]).reduce((sum, count) => sum + count, 0))
              // byLamp rounds in each layer.
              if (Math.abs(fallen - rounded(share * size)) > (kind === 'byLamp' ? layers.length : 0)) return false
            }
            if (kind !== 'perTensor' && kind !== 'perGroup' && total.units > 0 && Math.abs(total.fallen - share * total.units) > layers.length) return false
          }
          return true
        },
      ),
      { numRuns: 150 },
    ),
  )
})

test('erk: densities go with the sum of the dimensions over their product; what would be denser than dense stays whole', (t) => {
  const net = new nn.Sequential(new nn.Linear(100, 200), new nn.Linear(200, 200), new nn.Linear(200, 5))
  new prune.Pruner(net, { amount: prune.erk(0.9) }).step()
  const layers = new prune.Pruner(net, { amount: 0 }).report().layers
  const density = layers.map(({ sparsity }) => 1 - sparsity)
  const raw = [300 / 20_000, 400 / 40_000, 205 / 1000]
  t.is(density[2], 1)
  t.true(Math.abs(density[0] / density[1] - raw[0] / raw[1]) < 1e-3)
  t.is(
    layers.reduce((sum, layer) => sum + layer.zeros, 0),
    rounded(0.9 * 61_000),
  )
  // A method that must stay connected.
  t.throws(() => new prune.Pruner(net, { amount: prune.erk(prune.threshold(1)) }).step(), { instanceOf: EspalierError, code: 'INVALID_ARGUMENT' })
})

test('a global draw lets fall what the threshold over all layers says; every layer keeps its minimum', (t) => {
  const net = new nn.Sequential(new nn.Linear(10, 10), new nn.Linear(10, 10))
  const [a, b] = [net.getModule('0').latentWeight('weight'), net.getModule('1').latentWeight('weight')]
  for (let i = 0; i < 100; i++) [a.data[i], b.data[i]] = [i + 1, 1000 + i]
  new prune.Pruner(net, { amount: prune.atLeast(7, prune.global(110)) }).step()
  const [first, second] = [0, 1].map((i) => Array.from(nn.maskOf(net.getModule(String(i)), 'weight')!.data))
  t.deepEqual(
    first,
    Array.from({ length: 100 }, (_, i) => Number(i >= 93)),
  )
  t.deepEqual(
    second,
    Array.from({ length: 100 }, (_, i) => Number(i >= 17)),
  )
  const pruner = new prune.Pruner(net, { amount: prune.atLeast(0.5, prune.global(1)), structure: prune.filter })
  t.notThrows(() => pruner.step())
})

test('mixed: each structure in turn, on what those before it left', (t) => {
  t.notThrows(() =>
    fc.assert(
      fc.property(weights, fc.double({ min: 0, max: 0.7, noNaN: true }), fc.double({ min: 0, max: 1, noNaN: true }), (made, first, second) => {
        const [{ layer }, { layer: inTurn }] = [make(made), make(made)]
        new prune.Pruner(layer, {
          structure: prune.mixed([prune.filter, prune.fraction(first, { of: 'total' })], [prune.kernelRow, prune.fraction(second, { of: 'total' })]),
        }).step()
        new prune.Pruner(inTurn, { structure: prune.filter, amount: prune.fraction(first, { of: 'total' }) }).step()
        new prune.Pruner(inTurn, { structure: prune.kernelRow, amount: prune.fraction(second, { of: 'total' }) }).step()
        return maskData(layer).join() === maskData(inTurn).join()
      }),
    ),
  )
})

test('masks drawn compose, and remove keeps the output', (t) => {
  t.notThrows(() =>
    fc.assert(
      fc.property(fc.nat(1e6), fc.constantFrom(...Object.keys(structures).filter((name) => !name.startsWith('block'))), (seed, name) => {
        const net = filled(new nn.Sequential(new nn.Conv2d(4, 4, [2, 3], { padding: 1 }), new nn.ReLU(), new nn.Conv2d(4, 4, [2, 3])), seed)
        const x = tensor(
          Array.from({ length: 4 * 36 }, (_, i) => Math.sin(i)),
          [1, 4, 6, 6],
        )
        const pruner = new prune.Pruner(net, { structure: structures[name], amount: structures[name].amount ?? 0.5, bias: 'mask' })
        pruner.step()
        const output = Array.from(net.forward(x).data)
        const latent = net.getModule('0').latentWeight('weight')
        if (
          !Array.from(net.getModule('0').effective('weight').data).every(
            (value, i) => value === latent.data[i] * nn.maskOf(net.getModule('0'), 'weight')!.data[i],
          )
        )
          return false
        pruner.remove()
        return !prune.isPruned(net) && Array.from(net.forward(x).data).every((value, i) => value === output[i])
      }),
      { numRuns: 60 },
    ),
  )
})
