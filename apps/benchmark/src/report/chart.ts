import { BarChart, LineChart } from 'echarts/charts';
import { GridComponent, LegendComponent, TitleComponent } from 'echarts/components';
import { type EChartsCoreOption, init, use } from 'echarts/core';
import { SVGRenderer } from 'echarts/renderers';
import type { TableResult } from '../run-table.ts';
import type { Summary } from '../statistics.ts';

use([BarChart, LineChart, GridComponent, LegendComponent, TitleComponent, SVGRenderer]);

const width = 760;
const colors = ['#8a8f98', '#5b8def', '#e07a1f', '#3a9d6e'];
const text = { color: '#333', fontFamily: 'sans-serif' };

/** The table as an SVG picture: bars of ratios, or lines of what grows. */
export function chartOf(result: TableResult): string {
  const isComparison = result.table.growth === undefined;
  const height = isComparison ? 90 + result.summaries.length * 46 : 340;
  // No document is there: with `ssr` none is needed.
  const chart = init(null, null, { renderer: 'svg', ssr: true, width, height });
  chart.setOption(isComparison ? bars(result) : lines(result));
  const svg = chart.renderToSVGString();
  chart.dispose();
  return `${svg}\n`;
}

function bars({ table, summaries }: TableResult): EChartsCoreOption {
  const [baseline] = summaries;
  return {
    animation: false,
    backgroundColor: '#fff',
    textStyle: text,
    title: { text: table.title, subtext: `messages/s, as a ratio to ${baseline?.contender}`, left: 'center' },
    grid: { left: 16, right: 150, top: 64, bottom: 16 },
    xAxis: { type: 'value', min: 0, splitLine: { lineStyle: { color: '#eee' } } },
    yAxis: { type: 'category', inverse: true, data: summaries.map(({ contender }) => contender) },
    series: [
      {
        type: 'bar',
        barMaxWidth: 24,
        data: summaries.map(({ rateRatio: { median, least, most } }, index) => ({
          value: Number(median.toFixed(3)),
          itemStyle: { color: colors[index % colors.length] },
          label: {
            show: true,
            position: 'right',
            formatter: `${median.toFixed(2)} (${least.toFixed(2)}–${most.toFixed(2)})`,
          },
        })),
      },
    ],
  };
}

const titlesOfY = {
  rate: 'messages/s',
  cpu: 'CPU µs/message',
  peak: 'peak memory of the client, MiB',
};

function lines({ table, summaries }: TableResult): EChartsCoreOption {
  const { x, y } = table.growth ?? { x: '', y: 'rate' };
  const points = table.contenders.map(({ point }, index) => ({
    line: point?.line ?? '',
    x: point?.x ?? 0,
    y: figureOf(summaries[index], y),
  }));
  const names = [...new Set(points.map(({ line }) => line))];
  return {
    animation: false,
    backgroundColor: '#fff',
    textStyle: text,
    color: names.length === 1 ? ['#e07a1f'] : ['#8a8f98', '#e07a1f'],
    title: { text: table.title, left: 'center' },
    legend: { data: names, top: 28 },
    grid: { left: 16, right: 32, top: 76, bottom: 36 },
    xAxis: {
      type: 'category',
      name: x,
      nameLocation: 'middle',
      nameGap: 28,
      data: [...new Set(points.map((point) => point.x.toLocaleString('en-US')))],
    },
    // Bounds by hand: where nothing grows, the axis must not magnify the noise.
    yAxis: { type: 'value', name: titlesOfY[y], min: 0, splitLine: { lineStyle: { color: '#eee' } } },
    series: names.map((name) => ({
      name,
      type: 'line',
      symbolSize: 8,
      label: { show: true, position: 'top' },
      data: points.filter(({ line }) => line === name).map((point) => point.y),
    })),
  };
}

function figureOf(summary: Summary | undefined, y: 'rate' | 'cpu' | 'peak'): number {
  if (summary === undefined) return Number.NaN;
  if (y === 'rate') return Math.round(summary.rate.median);
  if (y === 'cpu') return Number(summary.cpu.median.toPrecision(3));
  return Math.round(summary.peakBytes.median / 1_048_576);
}
