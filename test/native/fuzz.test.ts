// Malformed calls straight into the addon: each must throw an EspalierError and leave its outputs as
// they were, or, where the arguments happen to be good, succeed; never crash. scripts/sanitize.mjs runs
// the same under the address sanitizer, which sees what this alone would not.
import { execFileSync } from 'node:child_process'
import test from 'ava'
import fc from 'fast-check'
import { EspalierError, native } from '../../lib/native/index.js'
import { startWork } from '../support/work.js'

interface Parameter {
  name: string
  kind: 'in' | 'out' | 'ins' | 'outs' | 'dims' | 'whole' | 'real' | 'enumeration'
  count?: number
}
interface Operation {
  name: string
  parameters: Parameter[]
}

const operations = JSON.parse(execFileSync(process.execPath, ['scripts/bindings.mjs', '--json'], { encoding: 'utf8' })) as Operation[]
const operationName = fc.constantFrom(...operations.map(({ name }) => name))
const operationOf = (wanted: string): Operation => operations.find(({ name }) => name === wanted) as Operation
const addon = native as unknown as Record<string, (...args: unknown[]) => unknown>
const codes = new Set(['INVALID_ARGUMENT', 'SHAPE_MISMATCH', 'DTYPE_MISMATCH', 'OUT_OF_MEMORY', 'INTERNAL'])

const constructors = { float32: Float32Array, float64: Float64Array, int32: Int32Array, int16: Int16Array, int8: Int8Array, uint8: Uint8Array }
type DType = keyof typeof constructors
const dtypes = Object.keys(constructors) as DType[]

/** A typed array, told so that a failing call can be printed, shrunk and made again. */
interface ArrayRecipe {
  array: DType
  length: number
  form: 'plain' | 'offset' | 'shared' | 'detached' | 'shrunk'
  fill: number
}
const isRecipe = (value: unknown): value is ArrayRecipe => typeof value === 'object' && value !== null && Object.hasOwn(value, 'array')
/** Several arrays as one argument. */
const isList = (value: unknown): value is { list: readonly unknown[] } => typeof value === 'object' && value !== null && Object.hasOwn(value, 'list')

// Resizable buffers are younger than the library types this project compiles against.
const resizable = (bytes: number): ArrayBuffer & { resize(bytes: number): void } => Reflect.construct(ArrayBuffer, [bytes, { maxByteLength: bytes + 8 }])

/** A fill that gives 1 everywhere: what counts as in range for most things. */
const ones = -1

const special = [Number.NaN, Infinity, -Infinity, 1e38, -0, 1e-42]

function make({ array, length, form, fill }: ArrayRecipe) {
  const Typed = constructors[array]
  const bytes = length * Typed.BYTES_PER_ELEMENT
  // A buffer of its own, just as long as the array, so that the sanitizer sees one element too far.
  const offset = form === 'offset' ? Typed.BYTES_PER_ELEMENT : 0
  const buffer = form === 'shared' ? new SharedArrayBuffer(bytes) : form === 'shrunk' ? resizable(bytes) : new ArrayBuffer(bytes + offset)
  const made = new Typed(buffer as ArrayBuffer, offset, length)
  let state = fill
  for (let i = 0; i < length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    const draw = state >>> 8
    made[i] =
      fill === ones
        ? 1
        : array.startsWith('float')
          ? fill % 7 === 0 && draw % 5 === 0
            ? special[draw % special.length]
            : (draw % 2000) / 500 - 2
          : (draw % 9) - (fill % 3)
  }
  if (form === 'detached') structuredClone(buffer, { transfer: [buffer as ArrayBuffer] })
  if (form === 'shrunk') (buffer as ReturnType<typeof resizable>).resize(Math.floor(bytes / 2))
  return made
}

const bytesOf = (view: ArrayBufferView): Buffer => Buffer.from(new Uint8Array(view.buffer))

let calls = 0
let successes = 0

/** One call. The error it threw, or undefined; what it did wrong is thrown. */
function call({ name, parameters }: Operation, recipes: readonly unknown[]): EspalierError | undefined {
  const made = (recipe: unknown): unknown => (isRecipe(recipe) ? make(recipe) : isList(recipe) ? recipe.list.map(made) : recipe)
  const args = recipes.map(made)
  const outputs = recipes.flatMap((recipe, i) => {
    if (parameters[i]?.kind !== 'out' && parameters[i]?.kind !== 'outs') return []
    const parts = isList(recipe) ? recipe.list.map((part, j) => [part, (args[i] as unknown[])[j]]) : [[recipe, args[i]]]
    return parts.flatMap(([part, array]) => (isRecipe(part) && part.form !== 'detached' ? [array as Float32Array] : []))
  })
  const before = outputs.map(bytesOf)
  const soon = startWork()
  let thrown: EspalierError | undefined
  calls++
  try {
    addon[name](...args)
    successes++
  } catch (error) {
    if (!(error instanceof EspalierError) || !codes.has(error.code)) throw error
    thrown = error
  } finally {
    if (name === 'setThreads') native.setThreads(2)
  }
  if (thrown)
    for (const [i, output] of outputs.entries()) if (!bytesOf(output).equals(before[i])) throw new Error(`"${thrown.message}", but an output has changed`)
  soon()
  return thrown
}

const form = fc.oneof(
  { weight: 20, arbitrary: fc.constant('plain' as const) },
  { weight: 2, arbitrary: fc.constantFrom('offset' as const, 'shared' as const) },
  { weight: 1, arbitrary: fc.constantFrom('detached' as const, 'shrunk' as const) },
)
const recipe = (array: fc.Arbitrary<DType>): fc.Arbitrary<ArrayRecipe> => fc.record({ array, length: fc.nat(24), form, fill: fc.nat(1000) })

const edges = [
  Number.NaN,
  Infinity,
  -Infinity,
  -1,
  0.5,
  1e308,
  2 ** 31 - 1,
  2 ** 31,
  2 ** 32,
  2 ** 32 + 5,
  2 ** 40,
  2 ** 53 - 1,
  2 ** 53,
  2 ** 60,
  -(2 ** 53),
  5e-324,
  -0,
]

/** Anything at all. */
const garbage = fc.oneof(
  { weight: 4, arbitrary: recipe(fc.constantFrom(...dtypes)) },
  { weight: 3, arbitrary: fc.oneof(fc.integer({ min: -2, max: 9 }), fc.constantFrom(...edges), fc.double()) },
  {
    weight: 1,
    arbitrary: fc.record({
      list: fc.array(fc.oneof({ weight: 5, arbitrary: recipe(fc.constantFrom(...dtypes)) }, { weight: 1, arbitrary: fc.constantFrom(null, 3, {}) }), {
        maxLength: 4,
      }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.array(fc.oneof(fc.integer({ min: -1, max: 5 }), fc.constantFrom(...edges), fc.constantFrom(null, 'x', {}, [])), { maxLength: 40 }),
  },
  {
    weight: 2,
    arbitrary: fc
      .constantFrom(null, undefined, true, '', 'x', '3', Symbol('s'), 5n, {}, [], () => 1, Number, /x/, new Map(), Object.create(null))
      .map((value) => value as unknown),
  },
  {
    weight: 1,
    arbitrary: fc.constantFrom(
      new DataView(new ArrayBuffer(8)),
      new ArrayBuffer(8),
      new Uint8ClampedArray(4),
      new Uint32Array(4),
      new BigInt64Array(4),
      new Proxy(new Float32Array(4), {}),
      new Proxy([], {
        get() {
          throw new Error('trap')
        },
      }),
      Object.defineProperty([1, 2], '0', {
        get() {
          throw new Error('getter')
        },
      }),
      {
        valueOf() {
          throw new Error('valueOf')
        },
      },
      new Array(5),
      Object.setPrototypeOf([1, 2, 3], null),
      Object.setPrototypeOf(new Float32Array(3), null),
    ) as fc.Arbitrary<unknown>,
  },
)

/** Of the right kind, and often near enough that a few corrections make the call a good one. */
function plausible({ kind, count = 1 }: Parameter, common: fc.Arbitrary<DType>): fc.Arbitrary<unknown> {
  const small = fc.oneof({ weight: 6, arbitrary: fc.integer({ min: 1, max: 4 }) }, { weight: 2, arbitrary: fc.integer({ min: 0, max: 17 }) })
  switch (kind) {
    case 'in':
    case 'out':
      return fc.oneof(
        { weight: 20, arbitrary: recipe(common) },
        { weight: 1, arbitrary: recipe(fc.constantFrom(...dtypes)) },
        { weight: 2, arbitrary: fc.constant(null) },
      )
    case 'ins':
    case 'outs':
      // Of few lengths, so that one list often fits another.
      return fc
        .constantFrom<readonly number[]>([5], [5], [0, 3], [1, 40], [])
        .chain((lengths) => fc.tuple(...lengths.map((length) => recipe(common).map((made) => ({ ...made, length })))))
        .map((list) => ({ list }))
    case 'dims':
      return fc.oneof(
        { weight: 12, arbitrary: fc.array(small, { maxLength: 5 }) },
        { weight: 1, arbitrary: fc.array(fc.oneof(small, fc.constantFrom(...edges)), { maxLength: 34 }) },
        { weight: 4, arbitrary: fc.array(fc.integer({ min: 0, max: 1 }), { maxLength: 4 }) },
      )
    case 'whole':
      return fc.oneof({ weight: 60, arbitrary: small }, { weight: 1, arbitrary: fc.constantFrom(...edges) })
    case 'real':
      return fc.oneof({ weight: 6, arbitrary: fc.double({ min: -2, max: 2, noNaN: true }) }, { weight: 1, arbitrary: fc.constantFrom(...edges) })
    case 'enumeration':
      return fc.oneof({ weight: 20, arbitrary: fc.nat(count - 1) }, { weight: 1, arbitrary: fc.constantFrom(...edges, count) })
  }
}

const plausibleCall = operationName.chain((name) =>
  fc.constantFrom<DType>('float32', 'float32', 'float64').chain((dtype) =>
    fc.record({
      name: fc.constant(name),
      recipes: fc.tuple(...operationOf(name).parameters.map((parameter) => plausible(parameter, fc.constant(dtype)))),
    }),
  ),
)

/** Follows an error's advice: the arguments with the one it names put right, or undefined. */
function corrected({ parameters }: Operation, recipes: readonly unknown[], message: string): unknown[] | undefined {
  const change = (name: string, to: (recipe: unknown) => unknown): unknown[] | undefined => {
    const at = parameters.findIndex((parameter) => parameter.name === name)
    return at < 0 ? undefined : recipes.map((recipe, i) => (i === at ? to(recipe) : recipe))
  }
  const array = (changes: Partial<ArrayRecipe>) => (recipe: unknown) => ({
    array: 'float32',
    length: 0,
    form: 'plain',
    fill: 1,
    ...(isRecipe(recipe) ? recipe : {}),
    ...changes,
  })
  const length = /: (\w+) has -?\d+ elements, expected (\d+)/.exec(message)
  if (length) return Number(length[2]) > 1 << 14 ? undefined : change(length[1], array({ length: Number(length[2]), form: 'plain' }))
  const entries = /: (\w+) has \d+ entries, expected (\d+)/.exec(message)
  if (entries) return change(entries[1], () => new Array(Math.min(Number(entries[2]), 33)).fill(calls % 2))
  const dtype = /: (\w+) is \w+, expected (float32|float64|int32|int16|int8|uint8)/.exec(message)
  if (dtype) return change(dtype[1], array({ array: dtype[2] as DType, form: 'plain' }))
  const range = /: (\w+) is \S+, expected (-?\d+) to (-?\d+)$/.exec(message)
  if (range) return change(range[1], () => Math.min(Number(range[3]), Number(range[2]) + (calls % 3)))
  const one = /: (\w+) is -?\d+, expected (\d+)(?:$|, )/.exec(message)
  if (one) return change(one[1], () => Number(one[2]))
  const whole = /: (\w+) is \S+, expected a whole number/.exec(message)
  if (whole) return change(whole[1], () => calls % 16)
  const element = /: (\w+)\[\d+\] is /.exec(message)
  if (element) return change(element[1], array({ form: 'plain', fill: ones }))
  if (/ the last of \d+ windows /.test(message)) return change(message.includes('height') ? 'out_height' : 'out_width', () => 1)
  const word = /: (?:the )?(\w+) is /.exec(message)?.[1]
  if (word === 'padding' || word === 'dilation')
    return recipes.map((recipe, i) => (parameters[i].name.startsWith(word) ? (word === 'padding' ? 0 : 1) : recipe))
  return undefined
}

/** Takes a buffer that only another call can make. */
const unreachable = new Set(['gemmPacked'])

const total = Number(process.env.ESPALIER_FUZZ_CALLS ?? 100_000)
const seed = Number(process.env.ESPALIER_FUZZ_SEED ?? 20261122)
const plain = (value: unknown): unknown => value

test('arbitrary arguments give an error', (t) => {
  calls = 0
  fc.assert(
    fc.property(operationName, fc.array(garbage, { maxLength: 24 }), (name, recipes) => {
      call(operationOf(name), recipes)
    }),
    { numRuns: total, seed, includeErrorInReport: true },
  )
  t.true(calls >= total)
})

test('plausible arguments give an error, and once corrected a result', (t) => {
  calls = successes = 0
  const succeeded = new Set<string>()
  fc.assert(
    fc.property(plausibleCall, ({ name, recipes }) => {
      const operation = operationOf(name)
      let now: readonly unknown[] | undefined = recipes
      for (let attempt = 0; attempt < 24 && now !== undefined; attempt++) {
        const error = call(operation, now)
        if (error === undefined) {
          succeeded.add(name)
          return
        }
        now = corrected(operation, now, error.message)
      }
    }),
    // As many runs for an operation, however many there are: 450 with the usual total.
    { numRuns: Math.ceil(0.0045 * total * operations.length), seed, includeErrorInReport: true },
  )
  t.log(`${calls} calls, ${successes} of them good`)
  // That a good call is reached for every operation says that the deep parts are met, not the first check alone.
  // (What takes a compiled program meets good ones in program.test.ts.)
  t.deepEqual(
    operations.map(({ name }) => name).filter((name) => !succeeded.has(name) && !unreachable.has(name) && !name.startsWith('program')),
    [],
  )
})

test('an argument that runs JavaScript cannot pull memory away from another', (t) => {
  const x = new Float32Array(new ArrayBuffer(24))
  const shape: number[] = [2, 3]
  Object.defineProperty(shape, '1', {
    get() {
      structuredClone(x.buffer, { transfer: [x.buffer] })
      return 3
    },
  })
  const args = operationOf('sum').parameters.map(({ name, kind }) =>
    plain(name === 'shape' ? shape : name === 'x' ? x : kind === 'dims' ? [0, 1] : kind === 'out' ? new Float32Array(2) : 1),
  )
  t.throws(() => addon.sum(...args), { instanceOf: EspalierError })
})

test('the error class itself is guarded', (t) => {
  for (const value of [undefined, null, 1, 'x', {}, []]) t.throws(() => addon.useErrorClass(value), { code: 'INVALID_ARGUMENT' })
  t.throws(() => addon.useErrorClass(), { code: 'INVALID_ARGUMENT' })
})
