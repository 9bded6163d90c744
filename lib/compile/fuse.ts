import { Binary, Unary } from '../native/index.js'
import { type Link, type Plan, Ref, readsOf, type Step, type Work } from './plan.js'

/**
 * The plan with functions of single elements joined: to one chain where they follow each other, and into the weights
 * of the layer before them where those can take them up: factors and offsets of channels (batch norm), then max(·, 0).
 * What rises with its argument, as quantisers do, waits for the maxima of windows: those are fewer, and the same.
 */
export function fused(plan: Plan): Plan {
  const users = new Map<Ref, number>([[plan.output, 1]])
  for (const step of plan.steps) for (const ref of readsOf(step)) users.set(ref, (users.get(ref) ?? 0) + 1)

  const steps: Step[] = []
  const maker = new Map<Ref, Step>()
  for (const step of plan.steps) {
    const before = step.x === null ? undefined : maker.get(step.x)
    if (step.work.kind === 'chain' && before !== undefined && users.get(before.y) === 1) {
      const left = absorbed(step.work.links, before.work)
      if (before.work.kind === 'chain') {
        // Where the later one stands: what its own operands are made of comes before it.
        steps.splice(steps.indexOf(before), 1)
        step.work.links = [...before.work.links, ...step.work.links]
        keep({ ...step, layer: before.layer || step.layer, x: before.x, operation: `${before.operation}, ${step.operation}` })
        continue
      }
      if (left.length < step.work.links.length) before.operation += `, ${step.operation}`
      if (left.length === 0) {
        maker.delete(before.y)
        before.y = step.y
        maker.set(before.y, before)
        continue
      }
      step.work.links = left
    }
    if (step.x !== null && before?.work.kind === 'chain' && users.get(before.y) === 1 && takesMaxima(step.work)) {
      const links = before.work.links.map((link) => behindMaxima(link, step.x as Ref, step.y))
      if (links.every((link) => link !== null)) {
        const maxima = new Ref(step.y.shape)
        users.set(maxima, 1)
        steps.splice(steps.indexOf(before), 1)
        keep({ ...step, x: before.x, y: maxima })
        keep({ ...before, x: maxima, y: step.y, work: { kind: 'chain', links } })
        continue
      }
    }
    keep(step)
  }
  return { ...plan, steps }

  function keep(step: Step): void {
    steps.push(step)
    maker.set(step.y, step)
  }
}

const takesMaxima = (work: Work): boolean => (work.kind === 'pool' || work.kind === 'adaptivePool') && work.of === 'max'

/**
 * A function behind the maxima of windows of `from`, which are `to`, in the place of one before them; null where it
 * may fall as its argument rises. (Rounding is monotone, so that products and sums in float32 rise as the real ones do.)
 */
function behindMaxima(link: Link, from: Ref, to: Ref): Link | null {
  const rises = (by: Iterable<number>): boolean => {
    if (link.kind === Binary.mul || link.kind === Binary.div) return Array.from(by).every((value) => value > 0)
    return link.kind === Binary.add || link.kind === Binary.sub
  }
  const plane = ({ shape }: Ref): number => shape.slice(2).reduce((product, dimension) => product * dimension, 1)
  switch (link.form) {
    case 'unary':
      return link.kind === Unary.relu || link.kind === Unary.clamp || link.kind === Unary.round ? link : null
    case 'scalar':
      return rises([link.by]) ? link : null
    case 'channel':
      return rises(link.by) && link.by.length === from.shape[1] && link.inner === plane(from) ? { ...link, inner: plane(to) } : null
    case 'value':
      return null
  }
}

/** Takes up into a layer's weights what it can of a chain behind it; gives what is left. */
function absorbed(links: readonly Link[], work: Work): readonly Link[] {
  if (work.kind !== 'linear' && work.kind !== 'conv') return links
  const rows = work.kind === 'linear' ? work.rows : work.geometry[3]
  const plane = work.kind === 'linear' ? 1 : work.geometry[4] * work.geometry[5]
  const channelwise = (link: Link): link is Extract<Link, { form: 'channel' }> => link.form === 'channel' && link.by.length === rows && link.inner === plane
  let taken = 0
  for (const link of links) {
    if (work.relu) break
    if (link.form === 'unary' && link.kind === Unary.relu) work.relu = true
    else if (work.exact) break
    else if (channelwise(link) && link.kind === Binary.mul) {
      const run = rows === 0 ? 0 : work.weight.length / rows
      work.weight = work.weight.map((value, i) => value * link.by[Math.floor(i / run)])
      work.bias = work.bias?.map((value, r) => value * link.by[r]) ?? null
    } else if (channelwise(link) && link.kind === Binary.add) work.bias = link.by.map((value, r) => value + (work.bias?.[r] ?? 0))
    else break
    taken++
  }
  return links.slice(taken)
}
