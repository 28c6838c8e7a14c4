"""tests/bench/report.py - the table: figures with their medians, ratios with the goal beside each, and all of it as JSON"""
import json, statistics

class Report:
    def __init__(self, path=None):
        self.path, self.rows, self.goals = path, [], []

    def row(self, name, title):
        self.current = {'row': name, 'title': title, 'figures': [], 'goals': []}
        self.rows.append(self.current)
        print('\n%s  [%s]' % (title, name), flush=True)

    def note(self, text):
        self.current.setdefault('notes', []).append(text)
        print('  ' + text, flush=True)

    def figure(self, name, values, unit, note='', digits=None):
        """The median of the runs; [least to most] where there were several. Returns the median."""
        values = values if isinstance(values, list) else [values]
        middle = statistics.median(values)
        digits = digits if digits is not None else 0 if middle >= 100 else 1 if middle >= 10 else 2
        spread = '[%.*f to %.*f] ' % (digits, min(values), digits, max(values)) if len(values) > 1 else ''
        print('  %-52s %10.*f %-6s %s%s' % (name, digits, middle, unit, spread, note), flush=True)
        self.current['figures'].append({'name': name, 'median': middle, 'runs': values, 'unit': unit, 'note': note})
        self.save()
        return middle

    def goal(self, name, value, unit, least=None, most=None):
        limit = least if least is not None else most
        met = value >= least if least is not None else value <= most
        sign = '>=' if least is not None else '<='
        print('    %-50s %10.2f %-6s goal %s %g %s: %s' % (name, value, unit, sign, limit, unit, 'met' if met else 'MISSED'), flush=True)
        goal = {'name': name, 'value': value, 'unit': unit, 'goal': '%s %g' % (sign, limit), 'met': met}
        self.current['goals'].append(goal)
        self.goals.append((self.current['row'], goal))
        self.save()

    def ratio(self, name, ours, theirs, least=None, most=None):
        self.goal('ratio to ' + name, ours / theirs if theirs else float('inf'), 'x', least, most)

    def failed(self, why):
        self.current['failed'] = why
        print('  FAILED: ' + why, flush=True)

    def save(self):
        if self.path:
            with open(self.path, 'w') as f:
                json.dump(self.rows, f, indent=1)

    def summary(self):
        met = sum(g['met'] for _, g in self.goals)
        print('\n%d goals met, %d missed%s' % (met, len(self.goals) - met, ':' if met < len(self.goals) else ''))
        for row, g in self.goals:
            if not g['met']:
                print('  %-14s %s: %.2f %s, goal %s' % (row, g['name'], g['value'], g['unit'], g['goal']))
        self.save()
        return not any('failed' in r for r in self.rows)

def percentile(values, share):
    """The smallest value that at least this share of the values do not exceed."""
    values = sorted(values)
    return values[max(0, -(-len(values) * share // 100) - 1)] if values else float('nan')
