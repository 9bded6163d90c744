import { native, Unary } from '../native/index.js'
import { allocatePanels, empty, emptyInPanels, PanelTensor, packed, panelsOf, type Tensor } from '../tensor/index.js'
import { floatTensor } from './operand.js'

// What the operations on one tensor, element by element, share. p and q are the function's parameters. What sparse layers
// gave in panels stays so on its way to the next one, and its gradient on the way back.

/** kind(x), elementwise. */
export function forward(name: string, kind: Unary, x: Tensor, p = 0, q = 0): Tensor {
  floatTensor(name, 'x', x)
  const panels = panelsOf(x)
  if (panels !== null) {
    const y = emptyInPanels(x.shape)
    native.unaryForward(kind, p, q, panels, y.panels)
    return y
  }
  const y = empty(x.shape, x.dtype)
  native.unaryForward(kind, p, q, x.storage, y.storage)
  return y
}

/** grad · kind'(x), where y = kind(x); in the place of `grad` where that is the walk's `own`. */
export function backward(kind: Unary, grad: Tensor, own: boolean | undefined, x: Tensor, y: Tensor, p = 0, q = 0): [Tensor] {
  const [ofX, ofY, ofGrad] = [panelsOf(x), panelsOf(y), panelsOf(grad)]
  if (ofX !== null && ofY !== null) {
    if (ofGrad !== null && own) {
      native.unaryBackward(kind, p, q, ofX, ofY, ofGrad, ofGrad)
      return [grad]
    }
    const to = ofGrad === null ? packed(grad) : allocatePanels(x.shape)
    native.unaryBackward(kind, p, q, ofX, ofY, ofGrad ?? to, to)
    return [new PanelTensor(to, x.shape)]
  }
  const gradX = own ? grad : empty(x.shape, x.dtype)
  native.unaryBackward(kind, p, q, x.storage, y.storage, grad.storage, gradX.storage)
  return [gradX]
}

/** −x, apart from the tape. */
export const negated = (x: Tensor): Tensor => forward('neg', Unary.neg, x)
