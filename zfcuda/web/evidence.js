'use strict';
// Where the evidence is: for each pixel the mean of what the squares change that cover it (OcclusionMap.heatmap).
{
  const zfcuda = globalThis.zfcuda ??= {};

  // Along one dimension: which of the windows from `starts` on cover each of `size` elements: [first, after last].
  const covering = (starts, window, size) => Array.from({length: size}, (_, at) => {
    const first = starts.findIndex(start => start + window > at);
    const after = starts.findIndex(start => start > at);
    return [first < 0 ? starts.length : first, after < 0 ? starts.length : after];
  });

  // drop: Float32Array [rows.length * columns.length]; rows, columns: where the squares begin; window: [height, width];
  // size: [H, W] -> Float32Array [H * W], NaN where no square lies, or where one has no number.
  zfcuda.heatmap = ({drop, rows, columns, window, size}) => {
    const [high, wide] = size, sums = new Float64Array(rows.length * wide), mean = new Float32Array(high * wide);
    const across = covering(columns, window[1], wide), down = covering(rows, window[0], high);
    for (let row = 0; row < rows.length; row++) {
      for (let x = 0; x < wide; x++) {
        for (let column = across[x][0]; column < across[x][1]; column++) {
          sums[row * wide + x] += drop[row * columns.length + column];
        }
      }
    }
    for (let y = 0; y < high; y++) {
      for (let x = 0; x < wide; x++) {
        const count = Math.max(0, down[y][1] - down[y][0]) * Math.max(0, across[x][1] - across[x][0]);
        let total = 0;
        for (let row = down[y][0]; row < down[y][1]; row++) total += sums[row * wide + x];
        mean[y * wide + x] = total / count;  // NaN where there is none
      }
    }
    return mean;
  };

  // The same as it is drawn, one value for each step of the square: the map knows no finer detail. heat: [H * W]; where
  // there are pixels without a number it stays as it is. -> {rows, columns, values}
  zfcuda.stepwise = (heat, [high, wide], stride) => {
    const rows = Math.ceil(high / stride), columns = Math.ceil(wide / stride);
    const values = new Float32Array(rows * columns);
    if (heat.some(Number.isNaN)) return {rows: high, columns: wide, values: heat};
    const part = (i, count, size) => [Math.floor(i * size / count), Math.ceil((i + 1) * size / count)];
    for (let row = 0; row < rows; row++) {
      for (let column = 0; column < columns; column++) {
        const [top, bottom] = part(row, rows, high), [left, right] = part(column, columns, wide);
        let total = 0;
        for (let y = top; y < bottom; y++) for (let x = left; x < right; x++) total += heat[y * wide + x];
        values[row * columns + column] = total / ((bottom - top) * (right - left));
      }
    }
    return {rows, columns, values};
  };
}
