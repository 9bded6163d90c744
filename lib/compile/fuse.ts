import { Binary, Unary } from '../native/index.js'
import { type Link, type Plan, type Ref, readsOf, type Step, type Work } from './plan.js'

/**
 * The plan with functions of single elements joined: to one chain where they follow each other, and into the weights
 * of the layer before them where those can take them up: factors and offsets of channels (batch norm), then max(·, 0).
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
    keep(step)
  }
  return { ...plan, steps }

  function keep(step: Step): void {
    steps.push(step)
    maker.set(step.y, step)
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
