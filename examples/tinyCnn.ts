import { nn, type Tensor } from 'espalier'

/** The small network of the field's accumulator studies, for 8×8 images: [n, 1, 8, 8] → [n, 10]. */
export class TinyCNN extends nn.Module {
  conv1: nn.Conv2d
  conv2: nn.Conv2d
  conv3: nn.Conv2d
  fc: nn.Linear

  constructor() {
    super()
    this.conv1 = new nn.Conv2d(1, 8, 3)
    this.conv2 = new nn.Conv2d(8, 16, 3, { stride: 2 })
    this.conv3 = new nn.Conv2d(16, 32, 2)
    this.fc = new nn.Linear(32, 10)
  }

  override forward(x: Tensor): Tensor {
    x = this.conv1.forward(x).relu()
    x = this.conv2.forward(x).relu()
    x = this.conv3.forward(x).relu()
    return this.fc.forward(x.flatten(1))
  }
}
