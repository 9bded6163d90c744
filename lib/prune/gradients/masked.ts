import { type MaskGradient, maskedGradient } from '../../nn/index.js'

/** Fallen weights learn nothing: weight · mask, and so its gradient. */
export const masked: MaskGradient = maskedGradient
