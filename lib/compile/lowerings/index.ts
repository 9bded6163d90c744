import type { Lower } from '../lower.js'
import { elementwise } from './elementwise.js'
import { lines } from './lines.js'
import { moves } from './moves.js'
import { products } from './products.js'

/** What each operation of a graph becomes, by its name. An operation without a rule cannot be compiled. */
export const lowerings: ReadonlyMap<string, Lower> = new Map(Object.entries({ ...elementwise, ...lines, ...moves, ...products }))
