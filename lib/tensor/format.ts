import type { Shape } from './shape.js'

// NumPy's layout: up to 1000 elements in full, else three at each end of a dimension; columns aligned,
// lines of at most 75 characters; floats by the fewest digits that tell them apart, at most eight
// behind the point, and in exponent form where their magnitudes lie too far apart.
const fullSize = 1000
const edge = 3
const lineWidth = 75
const decimals = 8

interface Printable {
  readonly data: ArrayLike<number>
  readonly shape: Shape
  readonly dtype: string
}

/** The values as NumPy prints an array. */
export function formatTensor({ data, shape, dtype }: Printable): string {
  const precision = dtype === 'float32' ? single : dtype === 'float64' ? double : null
  if (shape.length === 0) return precision === null ? String(data[0]) : scalar(data[0], precision)
  if (data.length === 0) return '[]'
  const cut = data.length > fullSize
  const strides = shape.map((_, axis) => shape.slice(axis + 1).reduce((product, dimension) => product * dimension, 1))
  const seen = visible(data, shape, strides, cut)
  const text = precision === null ? wholeColumn(seen) : floatColumn(seen, precision)
  const last = shape.length - 1
  const print = (axis: number, offset: number): string => {
    const indent = ' '.repeat(axis + 1)
    const parts = indices(shape[axis], cut).map((i) => {
      if (i < 0) return '...'
      const place = offset + i * strides[axis]
      return axis === last ? text(data[place]) : print(axis + 1, place)
    })
    return `[${axis === last ? wrap(parts, indent, lineWidth - axis - 1) : parts.join('\n'.repeat(last - axis) + indent)}]`
  }
  return print(0, 0)
}

/** Words of a row, a line broken before the one that would pass `width` (the indent counted). */
function wrap(words: readonly string[], indent: string, width: number): string {
  const lines: string[] = []
  let line = ''
  for (const word of words) {
    if (line !== '' && indent.length + line.length + word.length > width) {
      lines.push(line.trimEnd())
      line = ''
    }
    line += `${word} `
  }
  // Only the separator goes: a last number may end in blanks that stand for digits.
  lines.push(line.slice(0, -1))
  return lines.join(`\n${indent}`)
}

/** The indices of a dimension to print; −1 stands for the ones left out. */
const indices = (dimension: number, cut: boolean): number[] =>
  cut && dimension > 2 * edge ? [...Array(edge).keys(), -1, ...Array.from({ length: edge }, (_, i) => dimension - edge + i)] : [...Array(dimension).keys()]

function visible(data: ArrayLike<number>, shape: Shape, strides: readonly number[], cut: boolean): number[] {
  const seen: number[] = []
  const walk = (axis: number, offset: number): void => {
    if (axis === shape.length) seen.push(data[offset])
    else for (const i of indices(shape[axis], cut)) if (i >= 0) walk(axis + 1, offset + i * strides[axis])
  }
  walk(0, 0)
  return seen
}

function wholeColumn(values: readonly number[]): (value: number) => string {
  const width = Math.max(...values.map((value) => String(value).length))
  return (value) => String(value).padStart(width)
}

/** What NumPy knows of a float type: the value it stores for a number, and where exponents begin. */
interface Precision {
  round(value: number): number
  /** In an array, and for a number alone. */
  readonly exponentFrom: number
  readonly aloneFrom: number
}
const single: Precision = { round: Math.fround, exponentFrom: 1e6, aloneFrom: 1e6 }
const double: Precision = { round: (value) => value, exponentFrom: 1e8, aloneFrom: 1e16 }

function floatColumn(values: readonly number[], precision: Precision): (value: number) => string {
  const finite = values.filter(Number.isFinite)
  const magnitudes = finite.filter((value) => value !== 0).map(Math.abs)
  const largest = Math.max(...magnitudes)
  const smallest = Math.min(...magnitudes)
  const exponents = magnitudes.length > 0 && (largest >= precision.exponentFrom || smallest < 1e-4 || precision.round(largest / smallest) > 1000)
  const partsOf = (value: number): Parts => (exponents ? scientific(value, precision) : positional(value, precision))

  const parts = finite.map(partsOf)
  const longest = (part: keyof Parts): number => Math.max(0, ...parts.map((each) => each[part].length))
  const digits = longest('fraction')
  const tail = longest('exponent')
  const right = digits + (exponents ? tail + 1 : 0)
  let left = longest('whole')
  if (finite.length < values.length) left = Math.max(left, 2 - right, (values.includes(-Infinity) ? 3 : 2) - right)
  return (value) => {
    if (!Number.isFinite(value)) return nonFinite(value).padStart(left + right + 1)
    if (!exponents) {
      const { whole, fraction } = partsOf(value)
      return `${whole.padStart(left)}.${fraction.padEnd(digits)}`
    }
    // Where one needs more digits the others get as many, of their exact values.
    const [mantissa, power] = exponential(Math.abs(value), digits).split('e')
    const [whole, fraction = ''] = mantissa.split('.')
    return `${(signOf(value) + whole).padStart(left)}.${fraction}e${power[0]}${power.slice(1).padStart(Math.max(2, tail - 1), '0')}`
  }
}

const nonFinite = (value: number): string => (Number.isNaN(value) ? 'nan' : value > 0 ? 'inf' : '-inf')

/** A number that stands alone: 1.0, 1e-05. */
function scalar(value: number, precision: Precision): string {
  if (!Number.isFinite(value)) return nonFinite(value)
  const magnitude = Math.abs(value)
  if (magnitude === 0 || (magnitude >= 1e-4 && magnitude < precision.aloneFrom)) {
    const { whole, fraction } = positional(value, precision, Infinity)
    return `${whole}.${fraction || '0'}`
  }
  const { whole, fraction, exponent } = scientific(value, precision, Infinity)
  return `${whole}${fraction && `.${fraction}`}e${exponent}`
}

/** A number as it is printed; the sign goes with the whole part, trailing zeros are gone. */
interface Parts {
  whole: string
  fraction: string
  exponent: string
}

const signOf = (value: number): string => (value < 0 || Object.is(value, -0) ? '-' : '')

/** The fewest digits that round to this value in its type, as d.ddde±d. */
function shortest(magnitude: number, { round }: Precision): string {
  for (let digits = 0; digits < 17; digits++) {
    const text = exponential(magnitude, digits)
    if (round(Number(text)) === magnitude) return text
  }
  return magnitude.toExponential()
}

function scientific(value: number, precision: Precision, limit = decimals): Parts {
  const magnitude = Math.abs(value)
  let text = shortest(magnitude, precision)
  if (text.indexOf('e') - 2 > limit) text = exponential(magnitude, limit)
  const [mantissa, power] = text.split('e')
  const [whole, fraction = ''] = mantissa.split('.')
  return { whole: signOf(value) + whole, fraction: fraction.replace(/0+$/, ''), exponent: power[0] + power.slice(1).padStart(2, '0') }
}

function positional(value: number, precision: Precision, limit = decimals): Parts {
  const magnitude = Math.abs(value)
  const [mantissa, power] = shortest(magnitude, precision).split('e')
  const digits = mantissa.replace('.', '')
  const point = Number(power) + 1
  let text: string
  if (digits.length - point > limit) text = halfToEven(magnitude.toFixed(limit), magnitude.toFixed(100), limit)
  else if (point <= 0) text = `0.${'0'.repeat(-point)}${digits}`
  else text = `${digits.slice(0, point).padEnd(point, '0')}.${digits.slice(point)}`
  const [whole, fraction = ''] = text.split('.')
  return { whole: signOf(value) + whole, fraction: fraction.replace(/0+$/, ''), exponent: '' }
}

/** d.ddde±d with so many digits behind the point. */
const exponential = (magnitude: number, digits: number): string => halfToEven(magnitude.toExponential(digits), magnitude.toExponential(100), digits)

/** JavaScript rounds a half up, NumPy to the even digit: `exact` tells whether `rounded` came from a half. */
function halfToEven(rounded: string, exact: string, limit: number): string {
  const point = exact.indexOf('.')
  const kept = point + 1 + limit
  const [rest] = exact.slice(kept).split('e')
  const lastDigit = Number(exact[limit === 0 ? point - 1 : kept - 1])
  if (!/^50*$/.test(rest) || lastDigit % 2 !== 0) return rounded
  return exact.slice(0, limit === 0 ? point : kept) + exact.slice(kept + rest.length)
}
