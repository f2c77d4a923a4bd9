{# `part` of `whole`, 0 to 1; null when there is no whole. #}
{% macro share(part, whole) -%}
cast({{ part }} as double precision) / nullif({{ whole }}, 0)
{%- endmacro %}
