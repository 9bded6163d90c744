// Widths that suffice for an accumulator, from less than its weights: rougher than `accumulatorBound`,
// and never below it. Colbert et al. 2023 (A2Q). A width is the ceiling of a bound.

/** log₂(2^a + 1) + 1: the bits of the integers ±2^a and all between them. */
const signedBits = (a: number): number => a + Math.log2(1 + 2 ** -a) + 1

export interface InputCodes {
  /** Width of an input code, bits. */
  inputBits: number
  /** Whether input codes are two's complement. */
  inputSigned: boolean
}

/** What is known of a layer before it is trained. */
export interface DataTypes extends InputCodes {
  /** Inputs of a neuron. */
  fanIn: number
  /** Width of a signed weight code, bits. */
  weightBits: number
}

/** Bits that suffice for any weights of a data type. */
export const dataTypeBound = ({ fanIn, inputBits, weightBits, inputSigned }: DataTypes): number =>
  signedBits(Math.log2(fanIn) + inputBits + weightBits - 1 - (inputSigned ? 1 : 0))

/** Bits that suffice for any integer weights of an L1 norm; null for the norm 0, which needs none. */
export const weightBound = (norm: number, { inputBits, inputSigned }: InputCodes): number | null =>
  norm === 0 ? null : signedBits(Math.log2(norm) + inputBits - (inputSigned ? 1 : 0))

/** The width Brevitas states for a layer's output: that of fanIn products of the largest unsigned codes. No proof. */
export const statedWidth = ({ fanIn, inputBits, weightBits }: DataTypes): number => Math.ceil(Math.log2((2 ** inputBits - 1) * (2 ** weightBits - 1) * fanIn))
